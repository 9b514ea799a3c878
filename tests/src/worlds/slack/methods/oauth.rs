//! Apps and their tokens: the page of OAuth, `oauth.v2.access`, `auth.*`, `apps.*`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::worlds::slack::call::{Call, Done, bad, no};
use crate::worlds::slack::events::Audience;
use crate::worlds::slack::model::{Code, Consent, Holder, Id, Install, Refresh, State, Token, User};

const MINUTE: i64 = 60 * 1_000_000;
/// A rotating token lives 12 hours.
const LIFE_SECONDS: i64 = 43_200;
/// A code lives 10 minutes.
const CODE_LIFE: i64 = 10 * MINUTE;

pub(in super::super) fn api_test(call: &mut Call<'_>) -> Done {
    match call.text("error")? {
        Some(error) => no(&error),
        None => Ok(json!({ "args": call.args })),
    }
}

pub(in super::super) fn test(call: &mut Call<'_>) -> Done {
    let token = call.token();
    let (team, user) = (&call.state.teams[&token.team], &call.state.users[&token.user]);
    let mut answer = json!({
        "url": format!("https://{}.slack.com/", team.domain), "team": team.name, "user": user.name,
        "team_id": team.id, "user_id": user.id, "is_enterprise_install": false,
    });
    if token.holder == Holder::Bot {
        answer["bot_id"] = json!(token.bot_id);
    }
    Ok(answer)
}

pub(in super::super) fn revoke(call: &mut Call<'_>) -> Done {
    if call.flag("test")? {
        return Ok(json!({ "revoked": false }));
    }
    let (bearer, token) = (call.bearer.clone().unwrap_or_default(), call.token().clone());
    if let Some(known) = call.state.tokens.get_mut(&bearer) {
        known.dead = Some("token_revoked");
    }
    let (oauth, bot): (Vec<&Id>, Vec<&Id>) =
        if token.holder == Holder::Bot { (vec![], vec![&token.user]) } else { (vec![&token.user], vec![]) };
    let event = json!({ "type": "tokens_revoked", "tokens": { "oauth": oauth, "bot": bot } });
    call.state.tell(&Audience::Install(&token.app, &token.team), event);
    Ok(json!({ "revoked": true }))
}

pub(in super::super) fn uninstall(call: &mut Call<'_>) -> Done {
    let (id, secret) = (call.need("client_id")?, call.need("client_secret")?);
    let token = call.token().clone();
    let Some(app) = call.state.apps.values().find(|app| app.client_id == id) else { return no("invalid_client_id") };
    if app.client_secret != secret {
        return no("bad_client_secret");
    }
    if app.id != token.app {
        return no("client_id_token_mismatch");
    }
    call.state.uninstall(&token.app, &token.team);
    Ok(json!({}))
}

pub(in super::super) fn open(call: &mut Call<'_>) -> Done {
    call.scope("connections:write")?;
    let app = call.token().app.clone();
    let ticket = call.state.token("ticket-");
    let base = call.state.base.replacen("http", "ws", 1);
    call.state.tickets.insert(ticket.clone(), app.clone());
    Ok(json!({ "url": format!("{base}/link/?ticket={ticket}&app_id={app}") }))
}

pub(in super::super) fn access(call: &mut Call<'_>) -> Done {
    let (id, secret) = match call.basic.clone() {
        Some(basic) => basic,
        None => (call.need("client_id")?, call.need("client_secret")?),
    };
    let Some(app) = call.state.apps.values().find(|app| app.client_id == id) else { return no("invalid_client_id") };
    if app.client_secret != secret {
        return no("bad_client_secret");
    }
    let (app, rotates) = (app.id.clone(), app.rotates);
    match call.text("grant_type")?.as_deref() {
        None | Some("" | "authorization_code") => exchange(call, &app, rotates),
        Some("refresh_token") => refresh(call, &app),
        Some(_) => no("invalid_grant_type"),
    }
}

fn exchange(call: &mut Call<'_>, app: &str, rotates: bool) -> Done {
    let (written, redirect) = (call.need("code")?, call.text("redirect_uri")?);
    let now = call.state.now;
    let Some(code) = call.state.codes.get_mut(&written).filter(|code| code.app == app) else {
        return no("invalid_code");
    };
    if code.used {
        return no("code_already_used");
    }
    if now - code.made > CODE_LIFE {
        return no("invalid_code");
    }
    if redirect != code.redirect {
        return no("bad_redirect_uri");
    }
    code.used = true;
    let (team, by, user_scopes) = (code.team.clone(), code.by.clone(), code.user_scopes.clone());
    let scopes = code.scopes.clone();
    let mut answer = json!({ "app_id": app, "enterprise": null, "is_enterprise_install": false });
    answer["team"] = json!({ "id": team, "name": call.state.teams[&team].name });
    answer["authed_user"] = json!({ "id": by });
    if !scopes.is_empty() {
        let install = call.state.install_app(app, &team, &scopes);
        let token = call.state.bot_token(&install, rotates);
        answer["access_token"] = json!(token);
        answer["token_type"] = json!("bot");
        answer["scope"] = json!(install.scopes.join(","));
        answer["bot_user_id"] = json!(install.bot_user);
        if rotates {
            answer["expires_in"] = json!(LIFE_SECONDS);
            answer["refresh_token"] = json!(call.state.refresh_token(&token));
        }
    }
    if !user_scopes.is_empty() {
        let token = call.state.person_token(app, &team, &by, &user_scopes);
        answer["authed_user"] =
            json!({ "id": by, "scope": user_scopes.join(","), "access_token": token, "token_type": "user" });
    }
    Ok(answer)
}

fn refresh(call: &mut Call<'_>, app: &str) -> Done {
    let old = call.need("refresh_token")?;
    let Some(refresh) = call.state.refreshes.get_mut(&old) else { return no("invalid_refresh_token") };
    if refresh.used || refresh.token.app != app || refresh.token.dead.is_some() {
        return no("invalid_refresh_token");
    }
    refresh.used = true;
    let team = refresh.token.team.clone();
    let Some(install) = call.state.install(app, &team).filter(|install| install.active).cloned() else {
        return no("invalid_refresh_token");
    };
    let token = call.state.bot_token(&install, true);
    let refresh = call.state.refresh_token(&token);
    Ok(json!({
        "access_token": token, "expires_in": LIFE_SECONDS, "refresh_token": refresh, "token_type": "bot",
        "scope": install.scopes.join(","), "bot_user_id": install.bot_user, "app_id": app,
        "team": { "id": team, "name": call.state.teams[&team].name }, "enterprise": null,
        "is_enterprise_install": false,
    }))
}

/// What the page of OAuth does with a browser that a person sits at: an address to go to, or why it shows an error.
pub(in super::super) fn authorize(
    state: &mut State,
    team: &str,
    query: &BTreeMap<String, String>,
    consent: &Consent,
) -> Result<String, String> {
    let get = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let Some(app) = state.apps.values().find(|app| app.client_id == get("client_id")) else {
        return Err("Invalid client_id parameter".into());
    };
    let split = |list: &str| -> Vec<String> { list.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect() };
    let (scopes, user_scopes) = (split(get("scope")), split(get("user_scope")));
    if scopes.is_empty() && user_scopes.is_empty() {
        return Err("No scopes requested".into());
    }
    if let Some(odd) = scopes.iter().chain(&user_scopes).find(|scope| scope.contains([' ', '+'])) {
        return Err(format!("Invalid permissions requested: {odd}"));
    }
    let redirect = query.get("redirect_uri").cloned();
    let target = match &redirect {
        Some(given) if app.redirects.iter().any(|allowed| given.starts_with(allowed.as_str())) => given.clone(),
        Some(_) => return Err("redirect_uri did not match any configured URIs".into()),
        None => app.redirects.first().cloned().ok_or("no redirect_uri is configured")?,
    };
    let mut target = url::Url::parse(&target).map_err(|error| error.to_string())?;
    let app = app.id.clone();
    match consent {
        Consent::Denies => {
            target.query_pairs_mut().append_pair("error", "access_denied");
        }
        Consent::Agrees(who) => {
            let team = query.get("team").filter(|team| !team.is_empty()).cloned().unwrap_or_else(|| team.to_owned());
            let by = state.person(&team, who).ok_or("nobody of that name")?.id.clone();
            let (code, made) = (state.token(""), state.now);
            target.query_pairs_mut().append_pair("code", &code);
            state.codes.insert(code, Code { app, team, by, scopes, user_scopes, redirect, made, used: false });
        }
    }
    target.query_pairs_mut().append_pair("state", get("state"));
    Ok(target.into())
}

impl State {
    /// Installs an app, or gives an installation more scopes. The bot stays the same.
    pub fn install_app(&mut self, app: &str, team: &str, scopes: &[String]) -> Install {
        if let Some(known) = self.installs.iter_mut().find(|known| known.app == app && known.team == team) {
            if !known.active {
                known.scopes.clear();
            }
            known.active = true;
            for scope in scopes {
                if !known.scopes.contains(scope) {
                    known.scopes.push(scope.clone());
                }
            }
            let known = known.clone();
            for token in self.tokens.values_mut().filter(|token| token.bot_id == known.bot_id) {
                token.scopes.clone_from(&known.scopes);
            }
            return known;
        }
        let (user, bot_id) = (self.id("U"), self.id("B"));
        let name = self.apps[app].name.clone();
        let bot = User {
            id: user.clone(),
            team: team.to_owned(),
            name: name.to_lowercase(),
            display_name: String::new(),
            real_name: name,
            image: format!("{}/avatars/{user}.png", self.base),
            tz: "America/Los_Angeles".into(),
            is_bot: true,
            deleted: false,
            bot: Some((app.to_owned(), bot_id.clone())),
        };
        self.users.insert(user.clone(), bot);
        let (app, team) = (app.to_owned(), team.to_owned());
        let install = Install { app, team, bot_user: user, bot_id, scopes: scopes.to_vec(), active: true };
        self.installs.push(install.clone());
        install
    }

    /// A token of the bot: a new one where tokens rotate, else the one there is.
    pub fn bot_token(&mut self, install: &Install, rotates: bool) -> String {
        let live = |token: &Token| token.bot_id == install.bot_id && token.dead.is_none() && token.expires.is_none();
        if !rotates && let Some((known, _)) = self.tokens.iter().find(|(_, token)| live(token)) {
            return known.clone();
        }
        let written = self.token(if rotates { "xoxe.xoxb-1-" } else { "xoxb-" });
        let token = Token {
            holder: Holder::Bot,
            app: install.app.clone(),
            team: install.team.clone(),
            user: install.bot_user.clone(),
            bot_id: install.bot_id.clone(),
            scopes: install.scopes.clone(),
            dead: None,
            expires: rotates.then_some(self.now + LIFE_SECONDS * 1_000_000),
        };
        self.tokens.insert(written.clone(), token);
        written
    }

    /// The refresh token of a rotating one.
    pub fn refresh_token(&mut self, of: &str) -> String {
        let (written, token) = (self.token("xoxe-1-"), self.tokens[of].clone());
        self.refreshes.insert(written.clone(), Refresh { token, used: false });
        written
    }

    /// A token of a person, for an app.
    pub fn person_token(&mut self, app: &str, team: &str, user: &str, scopes: &[String]) -> String {
        let written = self.token("xoxp-");
        let (app, team, user, scopes) = (app.to_owned(), team.to_owned(), user.to_owned(), scopes.to_vec());
        let token =
            Token { holder: Holder::Person, app, team, user, bot_id: Id::new(), scopes, dead: None, expires: None };
        self.tokens.insert(written.clone(), token);
        written
    }

    /// Somebody removes an app: its tokens die, it leaves its channels, and is told.
    pub fn uninstall(&mut self, app: &str, team: &str) {
        let Some(install) = self.install(app, team).filter(|install| install.active).cloned() else { return };
        let people: Vec<Id> = self.dies(app, team, "account_inactive");
        self.tell(&Audience::Install(app, team), json!({ "type": "app_uninstalled" }));
        let tokens = json!({ "oauth": people, "bot": [install.bot_user] });
        self.tell(&Audience::Install(app, team), json!({ "type": "tokens_revoked", "tokens": tokens }));
        for known in &mut self.installs {
            known.active &= known.bot_id != install.bot_id;
        }
        for channel in self.channels.values_mut() {
            channel.members.retain(|member| *member != install.bot_user);
        }
    }

    /// Tokens of an installation die of that error; gives the people whose tokens were among them.
    pub fn dies(&mut self, app: &str, team: &str, error: &'static str) -> Vec<Id> {
        let mut people = Vec::new();
        let refreshes = self.refreshes.values_mut().map(|refresh| &mut refresh.token);
        for token in self.tokens.values_mut().chain(refreshes) {
            if token.app == app && token.team == team && token.holder != Holder::App && token.dead.is_none() {
                token.dead = Some(if token.holder == Holder::Person { "token_revoked" } else { error });
                if token.holder == Holder::Person {
                    people.push(token.user.clone());
                }
            }
        }
        people
    }
}

/// For methods that take a list in one string.
pub(in super::super) fn list_of(call: &Call<'_>, name: &str) -> Result<Vec<String>, super::super::call::Refusal> {
    match call.args.get(name) {
        Some(Value::Array(list)) => match list.iter().map(|item| item.as_str().map(str::to_owned)).collect() {
            Some(list) => Ok(list),
            None => bad(&format!("must be a list of strings [json-pointer:/{name}]")),
        },
        _ => {
            let text = call.text(name)?.unwrap_or_default();
            Ok(text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect())
        }
    }
}
