//! Slack over Socket Mode: real WebSockets, held as the worker holds them.

use std::time::Duration;

use sameroom_tests::worlds::slack::{Disconnect, Ear};
use sameroom_tests::worlds::{Outage, Server};

use crate::slack_login::{adds_app_by, allows, back};

stories! {
    async fn what_comes_over_a_socket_crosses_and_is_acknowledged(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_by("acme", Ear::Socket).await);
        town.tube("irc #ops", "acme general").await;
        slack.is_connected(1).await;
        slack.says("general", "ann", "hello");
        irc.hears("#ops", "<ann> hello").await;
        irc.says("bob", "#ops", "hi").await;
        slack.hears("general", "bob", "hi").await;
        slack.settled().await;
        town.settled().await;
        assert!(slack.pushes().iter().all(|push| push.status == Some(200) && push.attempt == 0));
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn one_socket_serves_every_workspace_of_an_app(town) {
        let slack = town.slack_world().await;
        let (app, begun) = adds_app_by(town, &slack, Ear::Socket).await;
        town.knows_slack("acme", &slack, &allows(town, &slack, "ann", &begun).await);
        let beta = slack.team("beta");
        beta.channel("general", &["bob"]);
        let begun = town.engine.start_onboarding(&"another".into(), "slack", Some(&app), &back(town)).await.unwrap();
        town.knows_slack("beta", &beta, &allows(town, &beta, "bob", &begun).await);
        town.tube_of(["operator", "another"], "acme general", "beta general").await;
        slack.is_connected(1).await;
        slack.says("general", "ann", "hello beta");
        beta.hears("general", "ann", "hello beta").await;
        beta.says("general", "bob", "hello acme");
        slack.hears("general", "bob", "hello acme").await;
        slack.settled().await;
        assert!(slack.pushes().iter().all(|push| push.status == Some(200)));
        assert_eq!(slack.odd(), [""; 0]);
    }

    async fn nothing_is_acknowledged_before_it_is_durable(town) {
        let (tea, slack) = (town.local("tea").await, town.slack_by("acme", Ear::Socket).await);
        slack.retries_after(&[100, 500, 2000, 5000].map(Duration::from_millis));
        town.tube("local tea", "acme general").await;
        slack.is_connected(1).await;
        slack.hears_what("general", "the notice", |said| said.text.contains("connected")).await;
        slack.settled().await;
        town.settled().await;
        let before = slack.pushes().len();
        town.store.outage(Some(Outage::Gone));
        slack.says("general", "ann", "hello");
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(slack.pushes()[before..].iter().all(|push| push.status != Some(200)));
        town.store.outage(None);
        tea.hears("ann", "hello").await;
        slack.settled().await;
        assert_eq!(slack.pushes()[before..].iter().filter(|push| push.status == Some(200)).count(), 1);
    }

    async fn our_name_is_learned_over_the_socket(town) {
        let slack = town.slack_by("acme", Ear::Socket).await;
        town.room("acme general").await;
        slack.is_connected(1).await;
        slack.invites_bot("general");
        slack.says("general", "ann", &format!("<@{}> help", slack.bot()));
        slack.hears_what("general", "the list", |said| said.text.contains("-sameroom or ")).await;
    }

    async fn a_socket_that_is_refreshed_or_cut_loses_nothing(town) {
        let (irc, slack) = (town.irc("irc", Server::Plain).await, town.slack_by("acme", Ear::Socket).await);
        slack.retries_after(&[50, 200, 1000, 3000, 5000].map(Duration::from_millis));
        town.tube("irc #ops", "acme general").await;
        slack.is_connected(1).await;
        irc.is_joined("#ops").await;
        let mut n = 0;
        for end in [Some(Disconnect::Warning), Some(Disconnect::RefreshRequested), None] {
            slack.says("general", "ann", &format!("line {n}"));
            match end {
                Some(why) => slack.disconnects(why),
                None => slack.cuts_sockets(),
            }
            slack.says("general", "ann", &format!("line {}", n + 1));
            irc.hears("#ops", &format!("<ann> line {n}")).await;
            irc.hears("#ops", &format!("<ann> line {}", n + 1)).await;
            slack.is_connected(1).await;
            n += 2;
        }
        slack.settled().await;
        town.settled().await;
        assert_eq!(irc.ours("#ops").iter().filter(|said| said.starts_with('<')).count(), 6);
        assert_eq!(slack.odd(), [""; 0]);
    }
}
