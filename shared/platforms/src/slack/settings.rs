//! What an account keeps beside its secrets: which workspace, bot and app it is. Must not know requests.

use sameroom_model::Opened;
use serde::{Deserialize, Serialize};

/// The bot's token.
pub(super) const TOKEN: &str = "token";
/// Renews the bot's token, where the app has token rotation.
pub(super) const REFRESH_TOKEN: &str = "refresh_token";
/// When the bot's token ends, in seconds since 1970; kept beside it, since it changes with it.
pub(super) const EXPIRES: &str = "expires_at";
/// Signs what Slack sends us.
pub(super) const SIGNING_SECRET: &str = "signing_secret";
/// Proves that we are the app.
pub(super) const CLIENT_SECRET: &str = "client_secret";
/// Opens Socket Mode.
pub(super) const APP_TOKEN: &str = "app_token";

/// Where the Web API is, unless the account says otherwise.
pub(super) const ENDPOINT: &str = "https://slack.com/api/";

/// The settings of an account. All may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) team_id: Option<String>,
    /// The organisation's id, where the app is installed for a whole organisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enterprise_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) team: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bot_user_id: Option<String>,
}

impl Settings {
    /// The settings of an account; what can't be read counts as missing.
    pub(super) fn of(account: &Opened) -> Self {
        Self::deserialize(&account.account.settings).unwrap_or_default()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
