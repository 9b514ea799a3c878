//! What Slack's answers mean: errors and their reactions as a table
//! (<https://docs.slack.dev/reference/methods/chat.postMessage#errors> and the other methods'). Must not know which call
//! was answered.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use sameroom_model::{Outcome, Sent, Timestamp};
use serde_json::Value;

use crate::answers::retry_after;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Again, later.
    Retry,
    /// Again, later; it may have had its effect.
    Doubt,
    /// The owner has to sign in again.
    Login,
    /// The token has ended: renew it.
    Renew,
    /// The app lacks a scope.
    Scope,
    /// We are not in the channel: join it.
    Join,
    /// Nothing can be posted there until somebody mends the channel.
    Room,
    /// This message can't be posted, ever.
    Message,
    /// What it is about is gone.
    Gone,
    /// The thread is gone.
    Thread,
    /// It is so already.
    Already,
}

use Reaction::{Already, Doubt, Gone, Join, Login, Message, Renew, Retry, Room, Scope, Thread};

/// Errors by name, each with its reaction and what to say. Those that are not here are taken as [`Reaction::Message`].
#[rustfmt::skip]
pub(super) static TABLE: &[(&str, Reaction, &str)] = &[
    ("ratelimited", Retry, "Slack asks us to wait"),
    ("rate_limited", Retry, "Slack asks us to wait"),
    ("message_limit_exceeded", Retry, "the workspace has used up its messages for now"),
    ("service_unavailable", Retry, "Slack is not available"),
    ("team_added_to_org", Retry, "the workspace is moving into an organisation"),
    ("accesslimited", Retry, "Slack limits access for now"),
    ("internal_error", Doubt, "Slack failed within"),
    ("fatal_error", Doubt, "Slack failed within"),
    ("request_timeout", Doubt, "Slack did not get the whole request"),

    ("invalid_auth", Login, "Slack does not accept the token: install the app in the workspace again"),
    ("not_authed", Login, "Slack got no token: install the app in the workspace again"),
    ("account_inactive", Login, "the bot or its workspace is deactivated: install the app again"),
    ("token_revoked", Login, "the token was revoked: install the app in the workspace again"),
    ("org_login_required", Login, "the workspace moved into an organisation: install the app there again"),
    ("team_access_not_granted", Login, "the app is not granted to this workspace: let an organisation's administrator grant it"),
    ("not_allowed_token_type", Login, "that is not a bot token: give the one that begins with xoxb-"),
    ("ekm_access_denied", Login, "the organisation's administrators have suspended access: ask them"),
    ("enterprise_is_restricted", Login, "the organisation does not allow this call: ask its administrators"),
    ("two_factor_setup_required", Login, "the workspace wants two-factor login set up: let its owner do that"),
    ("invalid_refresh_token", Login, "the token can't be renewed any more: install the app in the workspace again"),
    ("bad_client_secret", Login, "the client secret is wrong: copy it from Basic Information, App Credentials"),
    ("invalid_client_id", Login, "the client id is wrong: copy it from Basic Information, App Credentials"),
    ("invalid_code", Message, "the code has run out: begin again"),
    ("code_already_used", Message, "the code was used before: begin again"),
    ("bad_redirect_uri", Message, "the app does not know where to come back to: add Sameroom's address under OAuth & Permissions, Redirect URLs"),
    ("token_expired", Renew, "the token has expired: install the app in the workspace again"),
    ("missing_scope", Scope, "the app lacks a scope"),
    ("no_permission", Room, "the bot may not post in the channel: ask an administrator of the workspace"),

    ("not_in_channel", Join, "the bot is not in the channel: type /invite and its name there"),
    ("channel_not_found", Room, "the bot can't see the channel: if it is private, type /invite and its name there"),
    ("is_archived", Room, "the channel is archived: unarchive it, or close the connection"),
    ("channel_is_limited_access", Room, "the channel is closed to the bot: ask an administrator of the workspace"),
    ("restricted_action", Room, "the workspace's rules forbid posting there: ask an administrator"),
    ("restricted_action_read_only_channel", Room, "the channel is read-only: let an administrator allow the bot to post"),
    ("restricted_action_thread_only_channel", Room, "only threads may be written there: let an administrator allow the bot to post"),
    ("restricted_action_non_threadable_channel", Thread, "there are no threads in the channel"),
    ("restricted_action_thread_locked", Thread, "the thread is locked"),

    ("thread_not_found", Thread, "the thread is gone"),
    ("cannot_reply_to_message", Thread, "the message takes no replies"),
    ("invalid_thread_ts", Thread, "the thread is gone"),
    ("message_not_found", Gone, "the message is gone"),
    ("cant_update_message", Message, "the message is not ours to edit"),
    ("cant_delete_message", Message, "the message is not ours to delete"),
    ("edit_window_closed", Message, "the workspace does not allow edits so late"),
    ("compliance_exports_prevent_deletion", Message, "the workspace keeps every message"),
    ("is_inactive", Gone, "the message or its thread is closed"),

    ("msg_too_long", Message, "the message is too long"),
    ("msg_blocks_too_long", Message, "the message is too long"),
    ("no_text", Message, "the message has no words"),
    ("invalid_blocks", Message, "Slack does not understand the message's blocks"),
    ("too_many_attachments", Message, "the message has too many attachments"),
    ("invalid_arg_name", Message, "Slack does not understand the request"),

    ("already_reacted", Already, "the reaction is there"),
    ("no_reaction", Already, "the reaction is not there"),
    ("already_in_channel", Already, "the bot is in the channel"),
    ("invalid_name", Message, "the workspace has no emoji of that name"),
    ("too_many_emoji", Message, "the message has as many reactions as Slack allows"),
    ("too_many_reactions", Message, "the message has as many reactions as Slack allows"),
];

/// Why a call did not do what it should.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) reaction: Reaction,
    /// A sentence.
    pub(super) why: String,
    /// How long Slack asks us to wait.
    after: Option<Duration>,
    /// Slack's name of the error, where it is one.
    pub(super) error: String,
}

impl Fault {
    fn new(reaction: Reaction, error: &str, why: impl Into<String>) -> Self {
        Self { reaction, why: why.into(), after: None, error: error.to_owned() }
    }

    /// What becomes of a call that nothing else can be done about.
    pub(super) fn outcome(self) -> Outcome {
        let Self { reaction, why, after, .. } = self;
        match reaction {
            Retry => Outcome::Retry { after, why, sent: Sent::No },
            Doubt => Outcome::Retry { after, why, sent: Sent::Maybe },
            Login | Renew | Scope => Outcome::disconnected(why),
            Join | Room => Outcome::room_closed(why),
            Message | Gone | Thread => Outcome::refused(why),
            Already => Outcome::done(),
        }
    }
}

/// What a call answered: its JSON where that says `ok`.
pub(super) fn judge(response: &Response<Bytes>, now: Timestamp) -> Result<Value, Fault> {
    let status = response.status();
    let after = retry_after(response.headers(), now);
    let answer: Option<Value> = serde_json::from_slice(response.body()).ok();
    let answer = answer.filter(|answer| answer.get("ok").is_some_and(Value::is_boolean));
    match (status.as_u16(), answer) {
        (429, _) => Err(Fault { after, ..Fault::new(Retry, "", "Slack asks us to wait") }),
        (408 | 500..=599, _) => Err(Fault { after, ..Fault::new(Retry, "", format!("Slack answered {status}")) }),
        (300..=399, _) => Err(Fault::new(
            Login,
            "",
            format!("Slack's Web API answered {status}: correct its address, redirects are not followed"),
        )),
        (200..=299, Some(answer)) if answer["ok"] == true => Ok(answer),
        (_, Some(answer)) if answer["ok"] == false => Err(Fault { after, ..fault(&answer) }),
        // A page of a proxy in between, or half an answer.
        (200..=299, _) => Err(Fault::new(Doubt, "", "Slack's answer could not be read")),
        _ => Err(Fault { after, ..Fault::new(Retry, "", format!("Slack answered {status}")) }),
    }
}

fn fault(answer: &Value) -> Fault {
    let error: String = name(answer["error"].as_str().unwrap_or_default());
    let Some((_, reaction, why)) = TABLE.iter().find(|(known, ..)| *known == error) else {
        return Fault::new(Message, &error, format!("Slack refused it ({error})"));
    };
    let why = match (reaction, answer["needed"].as_str().map(name)) {
        (Scope, Some(needed)) => format!(
            "the app lacks the scope {needed}: add it under OAuth & Permissions in the app's settings, then install \
             the app again"
        ),
        (Scope, None) => "the app lacks a scope: compare its scopes with `sameroom platforms slack manifest`, then \
             install it again"
            .to_owned(),
        _ => (*why).to_owned(),
    };
    Fault::new(*reaction, &error, why)
}

/// The name of an error or scope, without whatever else an answer may hold.
fn name(said: &str) -> String {
    said.chars().filter(|c| c.is_ascii_alphanumeric() || "_.:,-".contains(*c)).take(80).collect()
}
