//! What the app has to be allowed and told: scopes, events, and the manifest that makes such an app
//! (<https://docs.slack.dev/reference/app-manifest>). Must not know accounts.

use serde_json::{Value, json};

use crate::Urls;

/// The bot's scopes.
pub(super) const SCOPES: [&str; 19] = [
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "chat:write.customize",
    "emoji:read",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "metadata.message:read",
    "mpim:history",
    "mpim:read",
    "reactions:read",
    "reactions:write",
    "team:read",
    "usergroups:read",
    "users:read",
];

/// The events that are subscribed to.
pub(super) const EVENTS: [&str; 19] = [
    "app_uninstalled",
    "channel_archive",
    "channel_deleted",
    "channel_left",
    "channel_rename",
    "channel_unarchive",
    "emoji_changed",
    "group_archive",
    "group_left",
    "group_rename",
    "member_left_channel",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "reaction_added",
    "reaction_removed",
    "tokens_revoked",
    "user_change",
];

/// The manifest, as JSON. Without an address for events and without Socket Mode it subscribes to none: Slack wants to
/// reach the address when it is given.
pub(super) fn manifest(urls: &Urls<'_>) -> String {
    let mut manifest = json!({
        "display_information": {
            "name": "Sameroom",
            "description": "Connects channels with rooms elsewhere",
            "background_color": "#1f3a5f",
        },
        "features": {
            "bot_user": { "display_name": "sameroom", "always_online": true },
        },
        "oauth_config": { "scopes": { "bot": SCOPES } },
        "settings": {
            "org_deploy_enabled": false,
            "socket_mode_enabled": urls.held,
            "token_rotation_enabled": false,
        },
    });
    if let Some(back) = urls.back {
        manifest["oauth_config"]["redirect_urls"] = json!([back]);
    }
    let mut events = json!({ "bot_events": EVENTS });
    match urls.hooks {
        Some(hooks) if !urls.held => events["request_url"] = Value::from(hooks),
        _ if urls.held => {}
        _ => events = Value::Null,
    }
    if !events.is_null() {
        manifest["settings"]["event_subscriptions"] = events;
    }
    format!("{manifest:#}")
}
