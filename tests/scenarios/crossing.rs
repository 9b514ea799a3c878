//! What crosses, and how it looks on the other side.

use std::time::Duration;

use sameroom_engine::ports::QueueName;
use sameroom_model::{AuthorStyle, Direction, EditStyle, ReplyStyle, TubeState};
use sameroom_tests::worlds::Server;
use serde_json::json;

stories! {
    async fn words_cross_between_three_worlds(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        irc.says("ann", "#ops", "hi").await;
        hook.hears("general", "ann", "hi").await;
        tea.hears("ann", "hi").await;
        hook.says("bob", "general", "hello").await;
        irc.hears("#ops", "<bob> hello").await;
        tea.hears("bob", "hello").await;
        tea.says("cy", "good *morning*").await;
        irc.hears("#ops", "<cy> good \u{1d}morning\u{1d}").await;
        hook.hears("general", "cy", "good morning").await;
        hook.shows("general", &[("ann", "hi"), ("cy", "good morning")]).await;
        assert_eq!(hook.unproven(), 0);
    }

    async fn on_a_modern_server_our_own_echoes_settle_and_go_no_further(town) {
        let (irc, hook) = (town.irc("irc", Server::Modern).await, town.hook("hook").await);
        town.tube("irc #ops", "hook general").await;
        irc.is_joined("#ops").await;
        for n in 0..20 {
            hook.says("bob", "general", &format!("line {n}")).await;
        }
        irc.hears("#ops", "<bob> line 19").await;
        irc.says("ann", "#ops", "enough").await;
        hook.hears("general", "ann", "enough").await;
        hook.shows("general", &[("ann", "enough")]).await;
        let said: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.starts_with('<')).collect();
        assert_eq!(said, (0..20).map(|n| format!("<bob> line {n}")).collect::<Vec<_>>());
    }

    async fn edits_and_deletes_find_their_copies(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        town.tube("hook other", "hook general").await;
        let key = hook.says("bob", "general", "helo").await;
        hook.edits("bob", "general", &key, "hello").await;
        irc.hears("#ops", "<bob> helo").await;
        irc.hears("#ops", "<bob> (edited) hello").await;
        assert!(tea.hears("bob", "hello").await.edited);
        hook.shows("other", &[("bob", "hello")]).await;
        hook.deletes("general", &key).await;
        hook.shows("other", &[]).await;
        tea.sees(|entries| entries.iter().any(|entry| entry.deleted).then_some(())).await;
    }

    async fn an_edit_that_waited_with_its_message_finds_the_copy(town) {
        // Over a held connection several deliveries are under way at once. One that changes the copy of another waits
        // for it, or it would find no copy and be left out, silently.
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.store.late(QueueName::Outbox, Duration::from_millis(200));
        town.tube("irc #ops", "hook general").await;
        town.tube("hook other", "hook general").await;
        // While the notices of the Tubes are on their way, both of these come to wait in one lane.
        let key = hook.says("bob", "general", "helo").await;
        hook.edits("bob", "general", &key, "hello").await;
        hook.says("bob", "general", "next").await;
        irc.hears("#ops", "<bob> helo").await;
        irc.hears("#ops", "<bob> (edited) hello").await;
        irc.hears("#ops", "<bob> next").await;
    }

    async fn a_message_of_a_hosted_room_is_edited_and_deleted_elsewhere_too(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        town.tube("hook general", "local tea").await;
        let key = tea.says("cy", "one").await;
        tea.edits("cy", &key, "two").await;
        hook.shows("general", &[("cy", "two")]).await;
        tea.deletes("cy", &key).await;
        hook.shows("general", &[]).await;
    }

    async fn an_edit_that_grows_and_then_a_delete_leave_nothing(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        let key = hook.says("bob", "a", "short").await;
        hook.shows("b", &[("bob", "short")]).await;
        hook.edits("bob", "a", &key, &"long words ".repeat(3000)).await;
        hook.hears_what("b", "the second part", |post| post.body["type"] == "message.posted").await;
        hook.deletes("a", &key).await;
        town.settled().await;
        hook.shows("b", &[]).await;
    }

    async fn replies_find_the_message_answered_in_every_room(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "hook general").await;
        town.tube("hook general", "local tea").await;
        let asked = hook.says("bob", "general", "Where is it?").await;
        irc.hears("#ops", "<bob> Where is it?").await;
        let copy = tea.hears("bob", "Where is it?").await;
        // An answer to the copy, given in the third room, is an answer to the message itself.
        tea.replies("cy", copy.key.as_str(), "Under the table.").await;
        let answer = hook
            .hears_what("general", "the answer", |post| post.body["message"]["text"] == "Under the table.").await;
        assert_eq!(answer["message"]["reply_to"], asked.as_str());
        irc.hears("#ops", "<cy> (re bob: \"Where is it?\") Under the table.").await;
        // And one to a copy of that answer.
        let answer = answer["message"]["id"].as_str().unwrap().to_owned();
        hook.replies("bob", "general", &answer, "Thanks.").await;
        let thanks = tea.hears("bob", "Thanks.").await;
        assert_eq!(thanks.reply.unwrap().key.unwrap(), tea.hears("cy", "Under the table.").await.key);
        irc.hears("#ops", "<bob> (re cy: \"Under the table.\") Thanks.").await;
    }

    async fn where_a_room_wants_no_quotes_replies_come_alone(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook general").await;
        town.options("irc #ops", |options| options.replies = ReplyStyle::Plain).await;
        town.options("irc #ops", |options| options.edits = EditStyle::Ignore).await;
        let asked = hook.says("bob", "general", "Where?").await;
        hook.replies("cy", "general", &asked, "Here.").await;
        hook.edits("bob", "general", &asked, "Where??").await;
        hook.says("bob", "general", "Ah.").await;
        irc.hears("#ops", "<bob> Ah.").await;
        let said: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.starts_with('<')).collect();
        assert_eq!(said, ["<bob> Where?", "<cy> Here.", "<bob> Ah."]);
    }

    async fn a_reaction_to_a_copy_reaches_the_message_and_its_other_copies(town) {
        let hook = town.hook("hook").await;
        let tea = town.local("tea").await;
        town.tube("hook a", "local tea").await;
        town.tube("hook b", "local tea").await;
        let key = hook.says("bob", "a", "Shipped!").await;
        let in_b = hook.hears("b", "bob", "Shipped!").await;
        let copy = tea.hears("bob", "Shipped!").await;
        tea.reacts("cy", copy.key.as_str(), "🎉").await;
        let there = hook.hears_what("a", "a reaction", |post| post.body["type"] == "reaction.added").await;
        assert_eq!((there["message"]["id"].as_str(), there["reaction"].as_str()), (Some(key.as_str()), Some("🎉")));
        let there = hook.hears_what("b", "a reaction", |post| post.body["type"] == "reaction.added").await;
        assert_eq!(there["message"]["id"], in_b.as_str());
        hook.reacts("dee", "b", &in_b, "👍").await;
        tea.sees(|entries| entries.iter().any(|entry| entry.reactions.contains_key("👍")).then_some(())).await;
    }

    async fn hushed_words_stay_in_their_room(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        hook.says("bob", "a", "^^^ between us").await;
        hook.says("bob", "a", "for all").await;
        hook.shows("b", &[("bob", "for all")]).await;
    }

    async fn authors_are_shown_as_the_room_wants(town) {
        let hook = town.hook("hook").await;
        let ada = json!({ "name": "Ada Lovelace", "username": "ada", "team": "Analysts" });
        for (room, style, team, shown) in [
            ("name", AuthorStyle::Name, false, "Ada Lovelace"),
            ("username", AuthorStyle::Username, false, "ada"),
            ("both", AuthorStyle::Both, false, "Ada Lovelace (ada)"),
            ("team", AuthorStyle::Name, true, "Ada Lovelace · Analysts"),
        ] {
            town.tube("hook origin", &format!("hook {room}")).await;
            town.options(&format!("hook {room}"), |options| (options.author, options.team) = (style, team)).await;
            let text = format!("to {room}");
            hook.posts(json!({ "type": "message.posted", "room": "origin", "author": ada, "message": { "text": text } })).await;
            hook.hears(room, shown, &text).await;
        }
        // Who has no team is of the place they write from.
        hook.says("bob", "origin", "me too").await;
        hook.hears("team", "bob · hook", "me too").await;
    }

    async fn both_rooms_are_told_what_becomes_of_their_tube(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        let tube = town.tube("irc #ops", "hook general").await;
        hook.is_told("general", "This room is now connected to #ops on irc.").await;
        irc.hears("#ops", "This room is now connected to general on hook.").await;
        town.set_tube(&tube, TubeState::Paused).await;
        hook.is_told("general", "The connection to #ops on irc is paused.").await;
        irc.hears("#ops", "The connection to general on hook is paused.").await;
        hook.says("bob", "general", "nobody hears this").await;
        town.settled().await;
        town.set_tube(&tube, TubeState::Open).await;
        hook.is_told("general", "carries messages again").await;
        irc.hears("#ops", "The connection to general on hook carries messages again.").await;
        hook.says("bob", "general", "back").await;
        irc.hears("#ops", "<bob> back").await;
        town.cut(&tube).await;
        hook.is_told("general", "is closed").await;
        assert!(irc.ours("#ops").iter().all(|said| !said.contains("nobody hears this")));
    }

    async fn every_tube_of_a_room_is_told_even_those_of_one_instant(town) {
        let hook = town.hook("hook").await;
        for room in ["b", "c", "d"] {
            town.tube("hook a", &format!("hook {room}")).await;
        }
        for room in ["b", "c", "d"] {
            hook.is_told("a", &format!("This room is now connected to {room} on hook.")).await;
            hook.is_told(room, "This room is now connected to a on hook.").await;
        }
    }

    async fn a_room_may_let_nothing_out_or_nothing_in(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.tube("hook a", "hook c").await;
        town.options("hook b", |options| options.direction = Direction::NotOut).await;
        town.options("hook c", |options| options.direction = Direction::NotIn).await;
        hook.says("ann", "a", "1").await;
        hook.says("bob", "b", "2").await;
        hook.says("cy", "c", "3").await;
        hook.hears("a", "cy", "3").await;
        hook.hears("b", "cy", "3").await;
        town.settled().await;
        hook.shows("a", &[("cy", "3")]).await;
        hook.shows("c", &[]).await;
        assert_eq!(hook.texts("b").len(), 2);
    }

    async fn comings_and_goings_are_shown_where_they_are_wanted(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook wants").await;
        town.tube("irc #ops", "hook wants-not").await;
        town.options("hook wants", |options| options.system = true).await;
        irc.says("ann", "#ops", "hello").await;
        hook.is_told("wants", "ann joined #ops on irc.").await;
        irc.renames("ann", "#ops", "anna");
        hook.is_told("wants", "ann is now called anna").await;
        irc.does("anna", "#ops", "PART", ":supper");
        hook.is_told("wants", "anna left #ops on irc (supper).").await;
        hook.posts(json!({ "type": "room.renamed", "room": "wants-not", "name": "lounge" })).await;
        hook.is_told("wants", "wants-not is now called lounge.").await;
        town.settled().await;
        assert!(hook.notices("wants-not").iter().all(|told| !told.contains("ann")));
    }

    async fn t_no_line_break_ever_makes_a_second_command(town) {
        let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
        town.tube("irc #ops", "hook general").await;
        town.options("irc #ops", |options| options.system = true).await;
        irc.is_joined("#ops").await;
        let evil = "x\r\nQUIT :gone\r\nPRIVMSG #other :hi\0";
        let author = json!({ "id": "m", "name": "mal", "username": evil, "team": evil });
        let message = json!({ "text": evil });
        hook.posts(json!({ "type": "message.posted", "room": "general", "author": author, "message": message })).await;
        hook.posts(json!({ "type": "member.left", "room": "general", "author": { "name": "mal" }, "why": evil })).await;
        let link = json!([{ "name": "a.txt", "url": "https://example.com/%0d%0aQUIT" }]);
        let message = json!({ "text": "see", "attachments": link });
        hook.posts(json!({ "type": "message.posted", "room": "general", "author": { "name": "mal" }, "message": message })).await;
        hook.says("bob", "general", "still here?").await;
        irc.hears("#ops", "<bob> still here?").await;
        let sent = irc.sent();
        assert!(sent.iter().all(|line| !line.starts_with("QUIT") && !line.contains(['\r', '\0'])), "{sent:?}");
        let talk: Vec<_> = sent.iter().filter(|line| line.contains("PRIVMSG")).collect();
        assert!(talk.iter().all(|line| line.contains("PRIVMSG #ops :")), "{talk:?}");
        let by_mal: Vec<_> = talk.iter().filter(|line| line.contains("<mal> x")).collect();
        assert_eq!(by_mal.len(), 1, "{talk:?}");
    }
}
