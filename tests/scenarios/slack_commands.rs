//! What people in Slack ask of Sameroom, and what they are told.

use std::time::Instant;

use sameroom_tests::worlds::Server;
use sameroom_tests::worlds::slack::Slack;

/// What the app says in a room by itself that holds these words.
async fn told(slack: &Slack, room: &str, words: &str) -> String {
    slack.hears_what(room, words, |said| said.text.contains(words)).await.text
}

stories! {
    async fn a_code_of_a_slack_channel_connects_an_irc_channel_within_a_second(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        let ops = town.room("irc #ops").await;
        town.engine.listen(&ops, true).await.unwrap().unwrap();
        irc.is_joined("#ops").await;
        // Nobody but the bot's presence names the channel.
        slack.invites_bot("general");
        let begun = Instant::now();
        slack.says("general", "ann", "-sameroom open");
        let answer = told(&slack, "general", "The code is ").await;
        let code = answer["The code is ".len()..][..9].to_owned();
        irc.says("bob", "#ops", &format!("-sameroom connect {code}")).await;
        irc.hears("#ops", "This room is now connected to #general on acme.slack.com.").await;
        told(&slack, "general", "This room is now connected to #ops on irc.").await;
        slack.says("general", "ann", "hello");
        irc.hears("#ops", "<ann> hello").await;
        let took = begun.elapsed();
        irc.says("bob", "#ops", "hi").await;
        slack.hears("general", "bob", "hi").await;
        println!("from -sameroom open to hello on the other side: {took:?}");
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap().len(), 1);
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_mention_of_the_bot_is_a_command(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        slack.says("general", "ann", &format!("<@{}> help", slack.bot()));
        let list = told(&slack, "general", "help: this list").await;
        assert!(list.contains("disable: disconnects") && list.lines().count() >= 10, "{list}");
        slack.says("general", "ann", "the end");
        irc.hears("#ops", "<ann> the end").await;
        let said: Vec<_> = irc.ours("#ops").into_iter().filter(|said| said.starts_with('<')).collect();
        assert_eq!(said, ["<ann> the end"]);
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_ping_is_answered_from_slack_to_irc_and_back(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        town.tube("irc #ops", "acme general").await;
        irc.is_joined("#ops").await;
        slack.says("general", "ann", "-sameroom ping");
        irc.hears("#ops", "Ping from #general on acme.slack.com.").await;
        told(&slack, "general", "#ops on irc answered in ").await;
        irc.says("bob", "#ops", "-sameroom ping").await;
        told(&slack, "general", "Ping from #ops on irc.").await;
        irc.hears_what("#ops", "#general on acme.slack.com answered in ").await;
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn a_portal_of_slack_is_used_on_irc(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack("acme").await);
        let ops = town.room("irc #ops").await;
        town.engine.listen(&ops, true).await.unwrap().unwrap();
        slack.invites_bot("general");
        slack.says("general", "ann", "-sameroom portal");
        let answer = told(&slack, "general", "This room's Portal is ").await;
        let url = answer.lines().next().unwrap()["This room's Portal is ".len()..].trim_matches(['<', '>']).to_owned();
        irc.says("bob", "#ops", &format!("-sameroom connect {url}")).await;
        told(&slack, "general", "This room is now connected to #ops on irc.").await;
        slack.says("general", "ann", "hello");
        irc.hears("#ops", "<ann> hello").await;
        assert_eq!(slack.odd(), [""; 0]);
    }
}
