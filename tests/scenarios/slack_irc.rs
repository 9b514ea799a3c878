//! Slack at one end, IRC at the other: what is said on either side reads right on the other.

use sameroom_tests::worlds::Server;
use sameroom_tests::worlds::slack::{Slack, Upload};
use serde_json::json;

/// What a story ends with: nothing that Slack merely puts up with.
fn proper(slack: &Slack) {
    assert_eq!(slack.odd(), [""; 0]);
}

stories! {
    async fn words_cross_with_names_and_avatars(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.says("bob", "#ops", "hi there").await;
        let ts = slack.hears("general", "bob", "hi there").await;
        let posted = slack.message("general", &ts).unwrap();
        assert_eq!((posted["username"].as_str(), posted["subtype"].as_str()), (Some("bob"), Some("bot_message")));
        slack.says("general", "ann", "hello *you*");
        irc.hears("#ops", "<ann> hello \u{2}you\u{2}").await;
        slack.settled().await;
        proper(&slack);
    }

    async fn both_rooms_are_told_of_their_tube(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.hears("#ops", "This room is now connected to #general on acme.slack.com.").await;
        slack.hears_what("general", "the notice", |said| said.text.starts_with("This room is now connected to #ops on irc.")).await;
        proper(&slack);
    }

    async fn markup_mentions_emoji_and_links_read_right_on_irc(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        let (zoe, random) = (slack.person("zoe"), slack.channel("random", &[]));
        slack.says("general", "ann", &format!("*bold* _soft_ ~gone~ `code` <https://example.org/a|a page> <@{zoe}> <#{random}> :tada: &lt;b&gt;"));
        irc.hears("#ops", "<ann> \u{2}bold\u{2} \u{1d}soft\u{1d} \u{1e}gone\u{1e} \u{11}code\u{11} a page (https://example.org/a) @zoe #random \u{1f389} <b>").await;
        let group = slack.group("oncall", &["zoe"]);
        slack.says("general", "ann", &format!("<!here> <!subteam^{group}> look"));
        irc.hears("#ops", "<ann> @here @oncall look").await;
        // Three keys, each asked once; then they are known.
        slack.says("general", "ann", &format!("<@{zoe}> again"));
        irc.hears("#ops", "<ann> @zoe again").await;
        assert_eq!(slack.calls("users.info").len(), 2);
        proper(&slack);
    }

    async fn an_edit_is_a_correction_and_a_thread_reply_a_quote(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        let ts = slack.says("general", "ann", "Where is it?");
        irc.hears("#ops", "<ann> Where is it?").await;
        slack.edits("general", &ts, "Where is he?");
        irc.hears("#ops", "<ann> (edited) Where is he?").await;
        slack.reply("general", "zoe", &ts, "Under the table.");
        irc.hears("#ops", "<zoe> (re ann: \"Where is he?\") Under the table.").await;
        slack.broadcasts("general", "zoe", &ts, "No, behind it.");
        irc.hears("#ops", "<zoe> (re ann: \"Where is he?\") No, behind it.").await;
        slack.me("general", "zoe", "shrugs");
        irc.hears("#ops", "* zoe shrugs").await;
        // IRC shows neither of these.
        slack.reacts("general", "zoe", &ts, "eyes");
        slack.deletes("general", &ts);
        slack.says("general", "ann", "done");
        irc.hears("#ops", "<ann> done").await;
        proper(&slack);
    }

    async fn a_copy_is_answered_in_its_thread(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.says("bob", "#ops", "Is the build green?").await;
        let ts = slack.hears("general", "bob", "Is the build green?").await;
        slack.reply("general", "ann", &ts, "It is.");
        irc.hears("#ops", "<ann> (re bob: \"Is the build green?\") It is.").await;
        proper(&slack);
    }

    async fn a_file_is_a_link_that_anybody_there_can_open(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        slack.uploads("general", "ann", "the plan", &[Upload::new("plan.txt", b"step one")]);
        let line = loop {
            let said = irc.ours("#ops");
            if let Some(line) = said.iter().find(|line| line.contains("/files/")) {
                break line.clone();
            }
            tokio::task::yield_now().await;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert!(line.starts_with("<ann> "), "{line}");
        let url = line.split_whitespace().find(|word| word.contains("/files/")).unwrap();
        assert!(url.ends_with("/plan.txt") && !url.contains("files-pri"), "{line}");
        let answer = reqwest::get(url).await.unwrap();
        assert!(answer.status().is_success(), "{url}");
        assert_eq!(answer.bytes().await.unwrap(), &b"step one"[..]);
        proper(&slack);
    }

    async fn other_bots_are_heard_and_ours_is_not(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        slack.echoes_first(true);
        town.tube("irc #ops", "acme general").await;
        for n in 0..5 {
            irc.says("bob", "#ops", &format!("line {n}")).await;
        }
        slack.hears("general", "bob", "line 4").await;
        slack.bot_says("general", "deploys", "build 42 is out");
        irc.hears("#ops", "<deploys> build 42 is out").await;
        slack.settled().await;
        town.settled().await;
        let said: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.starts_with('<')).collect();
        assert_eq!(said, ["<deploys> build 42 is out"]);
        proper(&slack);
    }

    async fn nobody_on_irc_calls_everybody_on_slack(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.says("mal", "#ops", "<!channel> <!here> @channel @everyone <@U0000> &lt;!here&gt;").await;
        let said = slack.hears_what("general", "something by mal", |said| said.who == "mal").await;
        assert!(!said.text.contains("<!") && !said.text.contains("<@"), "{}", said.text);
        assert!(said.text.replace('\u{200b}', "").contains("&lt;!channel&gt;"), "{}", said.text);
        assert!(!said.text.contains("@channel") && !said.text.contains("@everyone"), "{}", said.text);
        let post = slack.calls("chat.postMessage").pop().unwrap();
        assert_eq!((&post.args["parse"], &post.args["link_names"]), (&json!("none"), &json!(false)));
        proper(&slack);
    }

    async fn a_long_text_is_split_and_nothing_of_it_is_lost(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        let tea = town.local("tea").await;
        town.tube("irc #ops", "acme general").await;
        town.tube("acme general", "local tea").await;
        let long = (0..1500).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ");
        tea.says("cy", &long).await;
        slack.hears_what("general", "the last part", |said| said.text.ends_with("word1499")).await;
        let parts: Vec<_> = slack.messages("general").into_iter().filter(|said| said.who == "cy").map(|said| said.text).collect();
        assert!(parts.len() >= 3 && parts.iter().all(|part| part.chars().count() <= 4000), "{}", parts.len());
        assert_eq!(parts.join(" "), long);
        irc.is_joined("#ops").await;
        slack.says("general", "ann", &long);
        tea.hears("ann", &long).await;
        proper(&slack);
    }

    async fn a_renamed_channel_and_one_that_is_archived_are_told_of(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        slack.channel("plans", &[]);
        town.tube("irc #ops", "acme plans").await;
        town.options("irc #ops", |options| options.system = true).await;
        irc.is_joined("#ops").await;
        slack.renames("plans", "ann", "plots");
        irc.hears("#ops", "#plans is now called #plots.").await;
        slack.says("plots", "ann", &format!("welcome to <#{}>", slack.id_of("plots")));
        irc.hears("#ops", "<ann> welcome to #plots").await;
        slack.archives("plots", "ann");
        irc.hears("#ops", "#plots on acme.slack.com can't be reached: The channel was archived.").await;
        slack.unarchives("plots", "ann");
        irc.hears("#ops", "#plots on acme.slack.com can be reached again.").await;
        proper(&slack);
    }

    async fn being_removed_from_a_channel_is_told_to_the_other_room(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        slack.channel("plans", &[]);
        town.tube("irc #ops", "acme plans").await;
        irc.is_joined("#ops").await;
        slack.removes_bot("plans");
        irc.hears("#ops", "#plans on acme.slack.com can't be reached: The bot was removed from the channel; type /invite and its name there to have it back.").await;
        slack.settled().await;
        town.settled().await;
        let told = irc.ours("#ops").into_iter().filter(|told| told.contains("can't be reached"));
        assert_eq!(told.count(), 1);
        proper(&slack);
    }
}
