//! How Slack is added: a form with the app's credentials, then either the bot's token, pasted, or a visit to Slack
//! (OAuth, version 2: <https://docs.slack.dev/authentication/installing-with-oauth>). Must not know sessions or events.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use sameroom_model::{Identity, Opened, Place, Secrets, Timestamp};
use sameroom_text::names;
use serde_json::Value;
use url::Url;

use super::ABOUT;
use super::api::{self, Api};
use super::errors::judge;
use super::locate::usable;
use super::manifest::SCOPES;
use super::renewal::tokens;
use super::settings::{APP_TOKEN, CLIENT_SECRET, SIGNING_SECRET, Settings, TOKEN};
use super::wire::is_id;
use crate::{Answer, Desk, Draft, Field, Form, Problem, Step};

pub(super) fn onboard(desk: &Desk<'_>, answers: &[Answer]) -> Result<Step, Problem> {
    if let Some(app) = desk.app {
        // The form made the app, and has no part in its installation.
        let rest: Vec<_> = answers.iter().filter(|answer| !matches!(answer, Answer::Fields(_))).collect();
        return install(desk, app, &rest);
    }
    match answers {
        [] => Ok(Step::Ask(form())),
        [Answer::Fields(fields), rest @ ..] => with_form(&Filled(fields), rest),
        _ => Err(problem(None, "This begins with a form: answer it with its fields.")),
    }
}

fn form() -> Form {
    let field = |name, label, help, secret| Field { name, label, help, optional: true, secret };
    Form {
        title: "Connect Slack: with an app of your own, made at api.slack.com/apps from the manifest that `sameroom \
                platforms slack manifest` prints. Give its client id and secret to install it in any workspace, or \
                the bot token of the one where it is installed.",
        fields: vec![
            field("client_id", "Client ID", "Basic Information, App Credentials. Not needed with a bot token.", false),
            field("client_secret", "Client Secret", "Below the client id. Not needed with a bot token.", true),
            field(
                "signing_secret",
                "Signing Secret",
                "Below the client secret. Not needed with an app-level token.",
                true,
            ),
            field(
                "bot_token",
                "Bot token",
                "OAuth & Permissions; begins with xoxb-. Only where the app serves one workspace.",
                true,
            ),
            field(
                "app_token",
                "App-level token",
                "Basic Information, App-Level Tokens; begins with xapp-. Only for Socket Mode, where Slack can't call \
                 this Sameroom.",
                true,
            ),
            field("endpoint", "Web API", "Its address, where it is not https://slack.com/api/.", false),
        ],
    }
}

/// A form as it was filled in.
struct Filled<'a>(&'a BTreeMap<String, String>);

impl Filled<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// A secret that fits, where there is one.
    fn secret(&self, field: &'static str, label: &str, prefix: &str) -> Result<Option<String>, Problem> {
        let given = self.get(field).map(|text| usable(label, text, prefix));
        given.transpose().map_err(|why| problem(Some(field), why))
    }

    fn endpoint(&self) -> Result<String, Problem> {
        api::endpoint(self.get("endpoint")).map_err(|why| problem(Some("endpoint"), why))
    }

    /// The secrets that an app has wherever it is installed.
    fn app_secrets(&self) -> Result<Secrets, Problem> {
        let mut secrets = Secrets::default();
        let signing = self.secret("signing_secret", "signing secret", "")?;
        let app = self.secret("app_token", "app-level token", "xapp-")?;
        if signing.is_none() && app.is_none() {
            return Err(problem(
                Some("signing_secret"),
                "Give the signing secret, by which Slack proves what it tells; or an app-level token, for Socket Mode.",
            ));
        }
        for (name, secret) in [(SIGNING_SECRET, signing), (APP_TOKEN, app)] {
            if let Some(secret) = secret {
                secrets.set(name, secret);
            }
        }
        Ok(secrets)
    }
}

fn with_form(form: &Filled<'_>, rest: &[Answer]) -> Result<Step, Problem> {
    let mut secrets = form.app_secrets()?;
    let endpoint = form.endpoint()?;
    let client_secret = form.secret("client_secret", "client secret", "")?;
    let client_id = form.get("client_id");
    if client_id.is_some_and(|id| id.len() > 100 || !id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')) {
        return Err(problem(Some("client_id"), "A client id is two numbers with a full stop between: copy it again."));
    }
    if let Some(secret) = &client_secret {
        secrets.set(CLIENT_SECRET, secret.as_str());
    }
    let settings = Settings { client_id: client_id.map(str::to_owned), ..Settings::default() };
    if let Some(token) = form.get("bot_token") {
        // It is used at once, so a reference to it would not do.
        if !token.starts_with("xox") || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(problem(Some("bot_token"), "A bot token begins with xoxb-: copy it from OAuth & Permissions."));
        }
        secrets.set(TOKEN, token);
        return alone(
            Draft {
                platform: ABOUT.name,
                endpoint,
                identity: Identity::default(),
                settings: settings.json(),
                secrets,
                place: Place::Alone,
            },
            rest,
        );
    }
    let Some(client_id) = client_id else {
        return Err(problem(Some("client_id"), "Give the app's client id and secret, or a bot token."));
    };
    if client_secret.is_none() {
        return Err(problem(Some("client_secret"), "Give the client secret that goes with the client id."));
    }
    Ok(Step::Done(Box::new(Draft {
        platform: ABOUT.name,
        endpoint,
        identity: Identity { key: None, name: format!("app {client_id}") },
        settings: settings.json(),
        secrets,
        place: Place::App,
    })))
}

/// A token that was pasted: whose it is, then which app's.
fn alone(draft: Draft, rest: &[Answer]) -> Result<Step, Problem> {
    let token = draft.secrets.get(TOKEN).unwrap_or_default().to_owned();
    let field = Some("bot_token");
    match rest {
        [] => call(&draft.endpoint, &token, "auth.test", &[]),
        [Answer::Response(who)] => {
            let bot = text(&answered(who, field)?, "/bot_id");
            let bot = bot.filter(|bot| is_id(bot, &['B'])).ok_or_else(|| {
                problem(field, "That is a token, but not a bot's: copy the one that begins with xoxb-.")
            })?;
            call(&draft.endpoint, &token, "bots.info", &[("bot", &bot)])
        }
        [Answer::Response(who), Answer::Response(bot)] => {
            let who = answered(who, field)?;
            // Without the scope users:read this is not told; events tell the app's id, too.
            let app_id = answered(bot, None).ok().and_then(|bot| text(&bot, "/bot/app_id"));
            let settings = serde_json::from_value(draft.settings.clone()).unwrap_or_default();
            Ok(known(draft, Settings { app_id, ..settings }, &who))
        }
        _ => Err(problem(None, "This waits for Slack's answer, and got another: begin again.")),
    }
}

/// The app is installed in a workspace.
fn install(desk: &Desk<'_>, app: &Opened, rest: &[&Answer]) -> Result<Step, Problem> {
    match rest {
        [] => visit(desk, app).map(Step::Visit),
        [Answer::Returned(query)] => {
            let code = code(query)?;
            let request = api::oauth(app, &[("code", code), ("redirect_uri", desk.back)]);
            let request = request.ok_or_else(|| problem(None, "The app has no client id or secret: add it again."))?;
            Ok(Step::Send(Box::new(request)))
        }
        [Answer::Returned(_), Answer::Response(granted)] => {
            let token = granted_token(&answered(granted, None)?, desk.at)?;
            call(&app.account.endpoint, token.get(TOKEN).unwrap_or_default(), "auth.test", &[])
        }
        [Answer::Returned(_), Answer::Response(granted), Answer::Response(who)] => {
            installed(app, granted, who, desk.at)
        }
        _ => Err(problem(None, "This waits for a visit to Slack, and got another answer: begin again.")),
    }
}

fn installed(app: &Opened, granted: &Response<Bytes>, who: &Response<Bytes>, at: Timestamp) -> Result<Step, Problem> {
    let (granted, who) = (answered(granted, None)?, answered(who, None)?);
    let enterprise_id = text(&granted, "/enterprise/id").filter(|_| granted["is_enterprise_install"] == true);
    let tenant = enterprise_id.clone().or_else(|| text(&granted, "/team/id")).or_else(|| text(&who, "/team_id"));
    let tenant = tenant.ok_or_else(|| problem(None, "Slack did not say which workspace that was: begin again."))?;
    let settings = Settings {
        app_id: text(&granted, "/app_id"),
        team_id: text(&granted, "/team/id"),
        team: text(&granted, "/team/name").or_else(|| text(&granted, "/enterprise/name")),
        bot_user_id: text(&granted, "/bot_user_id"),
        enterprise_id,
        ..Settings::default()
    };
    let draft = Draft {
        platform: ABOUT.name,
        endpoint: app.account.endpoint.clone(),
        identity: Identity::default(),
        settings: Value::Null,
        secrets: granted_token(&granted, at)?,
        place: Place::Installed { app: app.account.id.clone(), tenant },
    };
    Ok(known(draft, settings, &who))
}

/// The draft with what `auth.test` told filled in where it is not known.
fn known(mut draft: Draft, mut settings: Settings, who: &Value) -> Step {
    let organisation = settings.enterprise_id.is_some();
    settings.team_id = settings.team_id.or_else(|| text(who, "/team_id").filter(|_| !organisation));
    settings.team = settings.team.or_else(|| text(who, "/team"));
    settings.bot_user_id = settings.bot_user_id.or_else(|| text(who, "/user_id"));
    settings.bot_id = text(who, "/bot_id");
    // The workspace's address is the one name of it that no other has.
    let host = text(who, "/url").and_then(|url| Url::parse(&url).ok()?.host_str().map(str::to_owned));
    let place = host.filter(|host| host.ends_with(".slack.com"));
    let place = place.or_else(|| settings.team_id.clone()).or_else(|| settings.enterprise_id.clone());
    let bot = names::clean(&text(who, "/user").unwrap_or_else(|| "bot".to_owned()), 80);
    draft.identity = Identity {
        key: settings.bot_user_id.as_deref().map(Into::into),
        name: format!("{bot}@{}", place.as_deref().unwrap_or("slack.com")),
    };
    draft.settings = settings.json();
    Step::Done(Box::new(draft))
}

/// Where a person allows the app.
fn visit(desk: &Desk<'_>, app: &Opened) -> Result<Url, Problem> {
    let id = Settings::of(app).client_id;
    let id = id.ok_or_else(|| problem(None, "The app has no client id: add it again."))?;
    let mut url = Url::parse(&app.account.endpoint)
        .ok()
        .and_then(|endpoint| endpoint.join("../oauth/v2/authorize").ok())
        .ok_or_else(|| problem(None, "The address of the app's Web API is not a URL: add it again."))?;
    url.query_pairs_mut()
        .append_pair("client_id", &id)
        .append_pair("scope", &SCOPES.join(","))
        .append_pair("user_scope", "")
        .append_pair("redirect_uri", desk.back)
        .append_pair("state", desk.state);
    Ok(url)
}

fn code(query: &BTreeMap<String, String>) -> Result<&str, Problem> {
    match (query.get("error").map(String::as_str), query.get("code")) {
        (Some("access_denied"), _) => {
            Err(problem(None, "The app was not allowed in the workspace. Begin again, and choose Allow."))
        }
        (Some(_), _) => Err(problem(None, "Slack did not install the app: look at its settings, then begin again.")),
        (None, Some(code)) if !code.is_empty() => Ok(code),
        (None, _) => Err(problem(None, "Slack sent the browser back without a code: begin again.")),
    }
}

fn granted_token(granted: &Value, at: Timestamp) -> Result<Secrets, Problem> {
    tokens(granted, at).ok_or_else(|| {
        problem(None, "Slack gave no bot token: the app needs bot scopes, as in the manifest that Sameroom prints.")
    })
}

fn answered(response: &Response<Bytes>, field: Option<&'static str>) -> Result<Value, Problem> {
    // The time is only for how long to wait, which a person decides here.
    judge(response, Timestamp::UNIX_EPOCH).map_err(|fault| problem(field, format!("That did not work: {}.", fault.why)))
}

fn call(endpoint: &str, token: &str, method: &str, fields: &[(&str, &str)]) -> Result<Step, Problem> {
    let request = Api::new(endpoint, token).form(method, fields);
    let request = request.map_err(|_| problem(None, "Slack's Web API can't be called with that token and address."))?;
    Ok(Step::Send(Box::new(request)))
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn problem(field: Option<&'static str>, message: impl Into<String>) -> Problem {
    Problem { field, message: message.into() }
}
