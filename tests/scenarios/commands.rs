//! What people ask of Sameroom in their rooms, and what they are told.

use std::time::Duration;

use sameroom_engine::{CommandRules, Who};
use sameroom_model::{AuthorStyle, Direction};
use sameroom_tests::worlds::{Kind, LocalRoom, Mood, Server, Town};
use serde_json::json;

/// The code that a room was just given.
async fn code(room: &LocalRoom) -> String {
    let told = room.is_told("The code is ").await;
    told["The code is ".len()..][..9].to_owned()
}

/// A code that is well-formed and wrong.
fn guess(n: usize) -> String {
    format!("AAAA-AAA{}", ["B", "C", "D", "E", "F", "G", "H"][n])
}

stories! {
    async fn a_code_connects_two_rooms(town) {
        let (tea, hook) = (town.local("tea").await, town.hook("hook").await);
        tea.says("ann", "-sameroom open").await;
        let code = code(&tea).await;
        // Nobody has named that room before.
        hook.says("bob", "general", &format!("@sameroom connect {}", code.to_lowercase())).await;
        hook.is_told("general", "This room is now connected to tea on Sameroom.").await;
        tea.is_told("This room is now connected to general").await;
        tea.says("ann", "hello").await;
        hook.hears("general", "ann", "hello").await;
        hook.says("bob", "general", "hi").await;
        tea.hears("bob", "hi").await;
        // A code makes one Tube.
        hook.says("cy", "other", &format!("-sameroom connect {code}")).await;
        hook.is_told("other", "That code is not valid").await;
        town.settled().await;
        assert_eq!(hook.texts("other"), [""; 0]);
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap().len(), 1);
    }

    async fn a_code_of_the_room_itself_and_one_of_a_room_connected_already_change_nothing(town) {
        let (tea, pond) = (town.local("tea").await, town.local("pond").await);
        town.tube("local tea", "local pond").await;
        tea.says("ann", "-sameroom open").await;
        let code = code(&tea).await;
        tea.says("ann", &format!("-sameroom connect {code}")).await;
        tea.is_told("That code is of this very room.").await;
        pond.says("bob", &format!("-sameroom connect {code}")).await;
        pond.is_told("This room is connected with tea on Sameroom already.").await;
    }

    async fn a_second_code_of_a_room_ends_the_first(town) {
        let (tea, pond) = (town.local("tea").await, town.local("pond").await);
        tea.says("ann", "-sameroom open").await;
        let first = code(&tea).await;
        tea.says("ann", "-sameroom open").await;
        let second = tea.sees(|entries| {
            let told = entries.iter().rev().find(|entry| entry.author.is_none())?.body.words();
            (!told.contains(&first)).then_some(told)
        }).await["The code is ".len()..][..9].to_owned();
        pond.says("bob", &format!("-sameroom connect {first}")).await;
        pond.is_told("That code is not valid").await;
        pond.says("bob", &format!("-sameroom connect {second}")).await;
        pond.is_told("This room is now connected to tea").await;
    }

    async fn whoever_guesses_codes_is_stopped(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        for n in 0..5 {
            hook.says("mal", "den", &format!("-sameroom connect {}", guess(n))).await;
            hook.is_told("den", "That code is not valid").await;
        }
        tea.says("ann", "-sameroom open").await;
        let code = code(&tea).await;
        // Not even a right one is looked at now; another room is not held up by that.
        hook.says("mal", "den", &format!("-sameroom connect {code}")).await;
        hook.is_told("den", "Too many codes were tried.").await;
        hook.says("bob", "general", &format!("-sameroom connect {code}")).await;
        hook.is_told("general", "This room is now connected to tea").await;
    }

    async fn neither_commands_nor_answers_cross(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        let asked = ["", "help", "map", "open", "connect", "connect AAAA-AAAA", "format", "format team", "hlep", "x y z"];
        for words in asked {
            hook.says("bob", "general", &format!("-sameroom {words}")).await;
            tea.says("ann", &format!("@sameroom {words}")).await;
            irc.says("cy", "#ops", &format!("bridge: {words}")).await;
        }
        // A message that is edited into a command stays what it was elsewhere, and nothing is done.
        let key = hook.says("bob", "general", "first").await;
        hook.edits("bob", "general", &key, "-sameroom disable").await;
        hook.posts(json!({
            "type": "message.posted", "room": "general",
            "author": { "name": "robot", "bot": true }, "message": { "text": "-sameroom disable" },
        })).await;
        hook.says("bob", "general", "the end").await;
        tea.hears("bob", "the end").await;
        irc.hears("#ops", "<bob> the end").await;
        irc.says("cy", "#ops", "the end").await;
        hook.hears("general", "cy", "the end").await;
        tea.hears("cy", "the end").await;
        town.settled().await;
        assert!(tea.shows().await.iter().all(|(who, text)| who == "ann" || text == "the end" || text == "first" || text.starts_with("bridge:")));
        assert!(irc.ours("#ops").iter().all(|said| !said.contains("ameroom x") && !said.contains("> -same") && !said.contains("> @same")));
        // What each room was told it was told for its own commands alone.
        let answers = |told: &[String]| told.iter().filter(|told| told.starts_with("Write -sameroom")).count();
        assert_eq!((answers(&hook.notices("general")), answers(&tea.notices().await)), (2, 2));
        // Twice a code, and once an example of one.
        assert_eq!(hook.notices("general").iter().filter(|told| told.starts_with("The code is")).count(), 1);
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap().len(), 2);
    }

    async fn words_that_only_mention_a_command_cross_and_do_nothing(town) {
        let (irc, hook) = (town.irc("irc", Server::Modern).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        irc.is_joined("#ops").await;
        for text in ["`-sameroom disable` ends it", "look:\n-sameroom disable", "I typed -sameroom disable"] {
            tea.says("ann", text).await;
        }
        hook.hears("general", "ann", "I typed -sameroom disable").await;
        irc.hears("#ops", "<ann> I typed -sameroom disable").await;
        town.settled().await;
        assert_eq!(hook.texts("general").len(), 3);
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap().len(), 2);
    }

    async fn on_irc_answers_come_as_lines(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook general").await;
        irc.says("ann", "#ops", "-sameroom format").await;
        irc.hears("#ops", "author: name (it can be name, username or both)").await;
        irc.says("ann", "#ops", "bridge: format author both").await;
        irc.hears("#ops", "Done: author is both in this room now.").await;
        irc.says("ann", "#ops", "-sameroom hlep").await;
        irc.hears("#ops", "There is no command \"hlep\". Did you mean help? To see all commands, ask for help.").await;
        irc.says("ann", "#ops", "bridge: how are you?").await;
        hook.hears("general", "ann", "bridge: how are you?").await;
        let room = town.room("irc #ops").await;
        assert_eq!(town.engine.room(&room).await.unwrap().unwrap().options.author, AuthorStyle::Both);
    }

    async fn an_irc_room_that_is_listened_to_is_connected_by_a_code(town) {
        let irc = town.irc("irc", Server::Plain).await;
        let tea = town.local("tea").await;
        let ops = town.room("irc #ops").await;
        town.engine.listen(&ops, true).await.unwrap().unwrap();
        tea.says("ann", "-sameroom open").await;
        let code = code(&tea).await;
        irc.says("bob", "#ops", &format!("-sameroom connect {code}")).await;
        irc.hears("#ops", "This room is now connected to tea on Sameroom.").await;
        tea.says("ann", "hello").await;
        irc.hears("#ops", "<ann> hello").await;
    }

    async fn every_connected_room_answers_a_ping(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        town.tube("hook deaf", "hook general").await;
        town.options("hook deaf", |options| options.direction = Direction::NotIn).await;
        irc.is_joined("#ops").await;
        tea.says("ann", "-sameroom ping").await;
        let told = tea.is_told("Asking 2 rooms.").await;
        assert!(told.contains("nothing written here gets to: deaf on hook (nothing is let in there)."), "{told}");
        hook.is_told("general", "Ping from tea on Sameroom.").await;
        irc.hears("#ops", "Ping from tea on Sameroom.").await;
        tea.is_told("general on hook answered in ").await;
        tea.is_told("#ops on irc answered in ").await;
        town.settled().await;
        assert!(!tea.notices().await.iter().any(|told| told.contains("has not answered")));
        assert!(hook.notices("deaf").iter().all(|told| !told.contains("Ping")));
    }

    async fn a_room_that_does_not_answer_a_ping_is_told_with_the_reason(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        town.tube("local tea", "hook sick").await;
        hook.is_told("sick", "This room is now connected").await;
        hook.is("sick", Mood::Ailing);
        tea.says("ann", "-sameroom ping").await;
        hook.is_tried("sick", 2).await;
        town.turn(Duration::from_secs(31));
        tea.is_told("sick on hook has not answered: ").await;
        hook.is("sick", Mood::Well);
        town.turn(Duration::from_secs(60));
        // Late is better than never.
        tea.is_told("sick on hook answered in ").await;
    }

    async fn anybody_in_a_room_can_disconnect_it(town) {
        let (tea, hook) = (town.local("tea").await, town.hook("hook").await);
        town.tube("local tea", "hook general").await;
        town.tube("local tea", "hook other").await;
        tea.says("ann", "-sameroom disable").await;
        tea.is_told("Done: all 2 Tubes of this room are removed").await;
        for room in ["general", "other"] {
            hook.is_told(room, "The connection to tea on Sameroom is closed.").await;
        }
        tea.says("ann", "alone").await;
        tea.says("ann", "-sameroom disable").await;
        tea.is_told("This room is not connected with any other.").await;
        town.settled().await;
        assert_eq!(hook.texts("general"), [""; 0]);
    }

    async fn a_portal_is_shown_in_one_room_and_used_in_another(town) {
        let (tea, hook) = (town.local("tea").await, town.hook("hook").await);
        tea.says("ann", "-sameroom portal").await;
        let told = tea.is_told("This room's Portal is ").await;
        let url = told.lines().next().unwrap()["This room's Portal is ".len()..].to_owned();
        assert!(url.contains("/portals/"), "{url}");
        hook.says("bob", "general", &format!("-sameroom connect {url}")).await;
        hook.is_told("general", "This room is now connected to tea on Sameroom.").await;
        tea.says("ann", "hello").await;
        hook.hears("general", "ann", "hello").await;
        hook.says("bob", "general", &format!("-sameroom connect {url}")).await;
        hook.is_told("general", "This room is connected with tea on Sameroom already.").await;
        tea.says("ann", &format!("-sameroom connect {url}")).await;
        tea.is_told("use it from another room.").await;
        let wrong = url.replace("/portals/", "/portals/x");
        hook.says("bob", "other", &format!("-sameroom connect {wrong}")).await;
        hook.is_told("other", "ask for a new one.").await;
        // It is the same one every time.
        hook.says("bob", "general", "-sameroom portal").await;
        tea.says("ann", "@sameroom portal").await;
        tea.sees(|entries| {
            let told = entries.iter().filter(|entry| entry.body.words().contains(&url) && entry.author.is_none());
            (told.count() == 2).then_some(())
        }).await;
    }

    async fn a_map_is_told_and_drawn(town) {
        let (tea, hook) = (town.local("tea").await, town.hook("hook").await);
        tea.says("ann", "-sameroom map").await;
        tea.is_told("This room is not connected with any other.").await;
        town.tube("local tea", "hook general").await;
        town.tube("hook general", "hook <b>&amp;").await;
        let paused = town.tube("local tea", "hook resting").await;
        town.set_tube(&paused, sameroom_model::TubeState::Paused).await;
        tea.says("ann", "-sameroom map").await;
        let told = tea.is_told("This room is connected with 2 rooms by 2 Tubes").await;
        assert!(told.contains("general on hook, <b>&amp; on hook."), "{told}");
        assert!(told.contains("nothing written here gets to: resting on hook (its Tube is paused)."), "{told}");
        let url = told.lines().last().unwrap().rsplit(' ').next().unwrap().to_owned();
        for (url, kind) in [(url.clone(), "text/html; charset=utf-8"), (format!("{url}.svg"), "image/svg+xml")] {
            let request = http::Request::get(&url).body(bytes::Bytes::new()).unwrap();
            let answer = hook.gets(request).await;
            assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, kind));
            let policy = answer.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            let page = String::from_utf8(answer.body().to_vec()).unwrap();
            assert!(page.contains("&lt;b&gt;&amp;amp;") && !page.contains("<b>&amp;"), "{page}");
            assert!(page.contains("resting") && page.contains("paused"), "{page}");
        }
        let wrong = http::Request::get(format!("{url}x")).body(bytes::Bytes::new()).unwrap();
        assert_eq!(hook.gets(wrong).await.status().as_u16(), 404);
        town.pass(Duration::from_secs(24 * 3600 + 1)).await;
        let later = http::Request::get(&url).body(bytes::Bytes::new()).unwrap();
        let later = hook.gets(later).await.status().as_u16();
        assert_eq!(later, if town.memory.is_some() { 404 } else { 200 });
    }

    async fn whoever_pings_too_often_waits(town) {
        let tea = town.local("tea").await;
        for _ in 0..3 {
            tea.says("ann", "-sameroom ping").await;
        }
        tea.says("ann", "-sameroom ping").await;
        tea.is_told("This room was just asked for pings.").await;
    }
}

#[tokio::test]
async fn who_may_connect_is_the_operators_to_say() {
    use sameroom_tests::worlds::{Kind, Town};
    let town = Town::with(Kind::Memory, |config| {
        let some = Who::Users(vec!["boss".to_owned()]);
        config.commands = CommandRules { connect: some, format: Who::Nobody, ..CommandRules::default() };
    })
    .await;
    let hook = town.hook("hook").await;
    hook.says("ann", "general", "-sameroom open").await;
    hook.is_told("general", "You may not do that here. Ask one of those who may: boss.").await;
    hook.says("ann", "general", "-sameroom format team on").await;
    hook.is_told("general", "That can't be done by command here.").await;
    hook.says("ann", "general", "-sameroom format").await;
    hook.is_told("general", "How messages from elsewhere are shown here.").await;
    let boss = json!({ "name": "Boss", "id": "boss" });
    hook.posts(
        json!({ "type": "message.posted", "room": "general", "author": boss, "message": { "text": "-sameroom open" } }),
    )
    .await;
    hook.is_told("general", "The code is ").await;
    town.settled().await;
    town.law().await;
}

#[tokio::test]
async fn a_code_ends_after_two_minutes() {
    use sameroom_tests::worlds::{Kind, Town};
    let town = Town::of(Kind::Memory).await;
    let (tea, pond) = (town.local("tea").await, town.local("pond").await);
    tea.says("ann", "-sameroom open").await;
    let code = code(&tea).await;
    town.pass(Duration::from_secs(121)).await;
    pond.says("bob", &format!("-sameroom connect {code}")).await;
    pond.is_told("That code is not valid").await;
}

#[tokio::test]
async fn where_commands_are_switched_off_they_are_answered_so_and_stay_in_their_room() {
    use sameroom_tests::worlds::{Kind, Town};
    let town = Town::with(Kind::Memory, |config| config.commands.enabled = false).await;
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook b").await;
    hook.says("ann", "a", "-sameroom open").await;
    hook.is_told("a", "Commands are switched off here.").await;
    hook.says("ann", "a", "on").await;
    hook.shows("b", &[("ann", "on")]).await;
}

#[tokio::test]
async fn whoever_asks_too_much_is_told_so_once_and_then_nothing_until_the_minute_is_over() {
    let town = Town::of(Kind::Memory).await;
    let tea = town.local("tea").await;
    let asks = async |who: &str, times: usize| {
        let before = tea.notices().await.len();
        for _ in 0..times {
            tea.says(who, "-sameroom help").await;
        }
        town.settled().await;
        tea.notices().await.len() - before
    };
    // The clock stands still meanwhile, and so it is one minute.
    assert_eq!(asks("ann", 15).await, 15);
    assert_eq!(asks("ann", 10).await, 1, "one sentence, and then silence");
    assert_eq!(asks("bob", 10).await, 10, "others are answered");
    assert_eq!(asks("cy", 10).await, 5, "as long as the room is within its own limit; that was told already");
    town.pass(Duration::from_secs(60)).await;
    assert_eq!(asks("ann", 1).await, 1);
    town.law().await;
}

#[tokio::test]
async fn a_command_that_a_platform_tells_from_its_history_is_not_obeyed() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    town.tube("hook general", "hook other").await;
    town.settled().await;
    let room = town.room("hook general").await;
    let now = town.engine.clock().now();
    let said = |id: &str, ago: i64| sameroom_model::Event {
        id: id.into(),
        room: room.clone(),
        at: now - sameroom_model::SignedDuration::from_secs(ago),
        author: Some(sameroom_model::Author::new("U1", "ann")),
        kind: sameroom_model::EventKind::Posted(sameroom_model::Message::new(
            id,
            sameroom_model::Text::plain("-sameroom disable"),
        )),
    };
    town.engine.ingest(&[said("old", 121)]).await.unwrap();
    town.settled().await;
    assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap().len(), 1);
    assert!(!hook.texts("general").iter().any(|text| text.contains("disconnected")), "nor answered");
    assert!(!hook.texts("other").iter().any(|text| text.contains("-sameroom")), "nor does it cross");
    town.engine.ingest(&[said("new", 119)]).await.unwrap();
    town.settled().await;
    assert!(town.engine.tubes(&"operator".into()).await.unwrap().is_empty());
    town.law().await;
}
