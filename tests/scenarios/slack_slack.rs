//! Slack at both ends: two workspaces, and two channels of one.

use sameroom_tests::worlds::slack::Upload;
use serde_json::json;

stories! {
    async fn everything_crosses_between_two_workspaces(town) {
        let (acme, beta) = (town.slack("acme").await, town.slack("beta").await);
        town.tube("acme general", "beta general").await;
        town.settled().await;
        let zoe = acme.person("zoe");
        let ts = acme.says("general", "ann", &format!("*bold* <https://example.org|a page> <@{zoe}> :tada:"));
        let copy = beta.hears_what("general", "ann's words", |said| said.who == "ann").await;
        assert_eq!(copy.text, "*bold* <https://example.org|a page> @zoe \u{1f389}");
        acme.edits("general", &ts, "plain");
        beta.shows("general", &[("Sameroom", "This room is now connected to #general on acme.slack.com."), ("ann", "plain")]).await;
        // Threads, both ways.
        acme.reply("general", "zoe", &ts, "in a thread");
        beta.hears_reply("general", &copy.ts, "zoe", "in a thread").await;
        let reply = beta.reply("general", "bob", &copy.ts, "an answer");
        let back = acme.hears_reply("general", &ts, "bob", "an answer").await;
        // Reactions, both ways, and taken back.
        acme.reacts("general", "zoe", &ts, "eyes");
        beta.is_reacted("general", &copy.ts, "eyes").await;
        beta.reacts("general", "bob", &copy.ts, "thinking_face");
        acme.is_reacted("general", &ts, "thinking_face").await;
        acme.reacts("general", "ann", &back, "+1");
        beta.is_reacted("general", &reply, "+1").await;
        acme.unreacts("general", "zoe", &ts, "eyes");
        acme.me("general", "ann", "waves");
        beta.hears("general", "ann", "_waves_").await;
        let gone = acme.says("general", "ann", "never mind");
        beta.hears("general", "ann", "never mind").await;
        acme.deletes("general", &gone);
        town.settled().await;
        acme.settled().await;
        town.settled().await;
        let there = beta.messages("general");
        assert!(there.iter().all(|said| said.text != "never mind"), "{there:?}");
        assert!(there.iter().all(|said| said.reactions.iter().all(|(name, _)| name != "eyes")), "{there:?}");
        assert_eq!((acme.odd(), beta.odd()), (vec![], vec![]));
    }

    async fn files_are_copied(town) {
        let (acme, beta) = (town.slack("acme").await, town.slack("beta").await);
        town.tube("acme general", "beta general").await;
        acme.uploads("general", "ann", "look at *this*", &[Upload::new("plan.txt", b"step one"), Upload::new("a.png", b"png")]);
        beta.hears("general", "ann", "look at *this*").await;
        beta.hears_what("general", "the file", |said| said.files == ["plan.txt"]).await;
        beta.hears_what("general", "the picture", |said| said.files == ["a.png"]).await;
        acme.upload("general", "ann", "bare.txt", b"no words");
        let bare = beta.hears_what("general", "the bare file", |said| said.files == ["bare.txt"]).await;
        assert_eq!(bare.text, "*ann*");
        let message = beta.message("general", &bare.ts).unwrap();
        assert_eq!(beta.bytes(message["files"][0]["id"].as_str().unwrap()).unwrap(), b"no words");
        beta.settled().await;
        town.settled().await;
        // They did not come back.
        assert_eq!(acme.messages("general").iter().filter(|said| !said.files.is_empty()).count(), 2);
        assert_eq!((acme.odd(), beta.odd()), (vec![], vec![]));
    }

    async fn a_mention_stays_one_within_a_workspace(town) {
        let slack = town.slack("acme").await;
        slack.channel("a", &[]);
        slack.channel("b", &[]);
        town.tube("acme a", "acme b").await;
        let zoe = slack.person("zoe");
        slack.says("a", "ann", &format!("ask <@{zoe}>, <!here>"));
        let copy = slack.hears_what("b", "ann's words", |said| said.who == "ann").await;
        assert_eq!(copy.text.replace('\u{200b}', ""), format!("ask <@{zoe}>, @here"));
        let back = slack.reply("b", "zoe", &copy.ts, "yes?");
        slack.hears_what("a", "the answer", |said| said.who == "zoe" && said.thread_ts.is_some()).await;
        slack.deletes("b", &back);
        slack.settled().await;
        town.settled().await;
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_name_of_one_workspace_finds_its_person_in_the_other(town) {
        let (acme, beta) = (town.slack("acme").await, town.slack("beta").await);
        town.tube("acme general", "beta general").await;
        // Beta's Zoe is known once she has spoken.
        beta.says("general", "zoe", "hello");
        acme.hears("general", "zoe", "hello").await;
        acme.says("general", "ann", "hello @zoe, and @channel");
        let zoe = beta.person("zoe");
        let copy = beta.hears_what("general", "ann's words", |said| said.who == "ann").await;
        assert_eq!(copy.text, format!("hello <@{zoe}>, and @\u{200b}channel"));
        assert_eq!((acme.odd(), beta.odd()), (vec![], vec![]));
    }

    async fn people_are_shown_by_their_newest_name_and_picture(town) {
        let (acme, beta) = (town.slack("acme").await, town.slack("beta").await);
        town.tube("acme general", "beta general").await;
        acme.changes_profile("ann", &json!({ "image": "https://example.org/ann.png" }));
        acme.says("general", "ann", "one");
        let ts = beta.hears("general", "ann", "one").await;
        let picture = |ts: &str| beta.message("general", ts).unwrap()["icons"]["image_72"].clone();
        assert_eq!(picture(&ts), "https://example.org/ann.png?size=192");
        acme.changes_profile("ann", &json!({ "display_name": "Ann Lee", "image": "https://example.org/lee.png" }));
        acme.settled().await;
        acme.says("general", "ann", "two");
        let ts = beta.hears("general", "Ann Lee", "two").await;
        assert_eq!(picture(&ts), "https://example.org/lee.png?size=192");
        assert_eq!((acme.odd(), beta.odd()), (vec![], vec![]));
    }

    async fn echoes_never_loop(town) {
        let (acme, beta) = (town.slack("acme").await, town.slack("beta").await);
        acme.echoes_first(true);
        beta.echoes_first(true);
        town.tube("acme general", "beta general").await;
        for n in 0..10 {
            acme.says("general", "ann", &format!("a{n}"));
            beta.says("general", "bob", &format!("b{n}"));
        }
        beta.hears("general", "ann", "a9").await;
        acme.hears("general", "bob", "b9").await;
        acme.settled().await;
        beta.settled().await;
        town.settled().await;
        for (slack, theirs) in [(&acme, "bob"), (&beta, "ann")] {
            let said: Vec<_> = slack.messages("general").into_iter().filter(|said| said.who == theirs).map(|said| said.text).collect();
            let letter = if theirs == "bob" { 'b' } else { 'a' };
            assert_eq!(said, (0..10).map(|n| format!("{letter}{n}")).collect::<Vec<_>>());
            let others = slack.messages("general").into_iter().filter(|said| said.who != "ann" && said.who != "bob");
            assert_eq!(others.count(), 2, "the bot came, and told of the Tube");
            assert_eq!(slack.messages("general").len(), 22);
            assert_eq!(slack.odd(), [""; 0]);
        }
    }
}
