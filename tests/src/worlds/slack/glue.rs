//! A world of Slack in a town: on its clock, so that signatures are as old as the engine thinks; and its workspaces as
//! the town's accounts. The only file here that knows a town.

use sameroom_model::{AccountId, OwnerId};
use sameroom_platforms::by_name;

use super::{Installed, Slack};
use crate::worlds::Town;
use crate::worlds::town::{OPERATOR, World};

/// How a workspace tells what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ear {
    /// It calls the town.
    Hooks,
    /// The town holds a connection of Socket Mode.
    Socket,
}

impl Town {
    /// A world of Slack on this town's clock.
    pub async fn slack_world(&self) -> Slack {
        let clock = self.clock.clone();
        Slack::at(move || clock.now().as_microsecond()).await
    }

    /// A world of Slack whose app was installed in its first workspace by hand: the bot's token was pasted, and Slack
    /// calls the town.
    pub async fn slack(&self, name: &str) -> Slack {
        self.slack_by(name, Ear::Hooks).await
    }

    /// Likewise, by either way.
    pub async fn slack_by(&self, name: &str, ear: Ear) -> Slack {
        let slack = self.slack_world().await;
        let installed = slack.install();
        self.pastes(name, &slack, &installed, ear).await;
        slack
    }

    /// Adds a workspace by its bot's token, or gives its account new secrets.
    pub async fn pastes(&self, name: &str, slack: &Slack, installed: &Installed, ear: Ear) -> AccountId {
        let keys = slack.keys();
        let (token, base, team) = (&installed.token, slack.api(), slack.team_id());
        let hears = match ear {
            Ear::Hooks => format!("signing={}", keys.signing_secret),
            Ear::Socket => format!("app={}", keys.app_token),
        };
        slack.socket_mode(ear == Ear::Socket);
        let url = format!("slack://{name}/C0?token={token}&{hears}&team={team}&endpoint={base}");
        let draft = by_name("slack").unwrap().locate(&url.parse().unwrap()).unwrap().account;
        let account = self.engine.add_account(&OwnerId::from(OPERATOR), &draft).await.unwrap().id;
        self.knows_slack(name, slack, &account);
        if ear == Ear::Hooks {
            slack.set_request_url(&self.hooks(&account)).await.unwrap();
        }
        account
    }

    /// Names a workspace whose account there is already.
    pub fn knows_slack(&self, name: &str, slack: &Slack, account: &AccountId) {
        let site = format!("{name}.slack.com");
        self.is_known(name, World { account: account.clone(), site, slack: Some(slack.clone()) });
    }

    /// The webhook URL of a Slack account, as it is set as the app's Request URL.
    pub fn hooks(&self, account: &AccountId) -> String {
        format!("http://{}/hooks/slack/{account}", self.address)
    }
}
