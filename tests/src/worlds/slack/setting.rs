//! How a test sets the scene: workspaces, people, channels, apps and their installations. How the world behaves is in `knobs`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::events;
use super::methods::oauth;
use super::model::{App, Channel, Consent, Group, Holder, Id, Kind, State, Team, Token, User, random};
use super::{Disconnect, Slack};

/// What the settings page of an app shows.
#[derive(Clone, Debug)]
pub struct AppKeys {
    /// `A…`.
    pub app_id: String,
    /// For OAuth.
    pub client_id: String,
    /// For OAuth.
    pub client_secret: String,
    /// For events.
    pub signing_secret: String,
    /// `xapp-…`, with `connections:write`.
    pub app_token: String,
}

/// An installation.
#[derive(Clone, Debug)]
pub struct Installed {
    /// `T…`.
    pub team_id: String,
    /// `U…`.
    pub bot_user_id: String,
    /// `B…`.
    pub bot_id: String,
    /// `xoxb-…`.
    pub token: String,
}

/// The bot scopes of a relay.
const SCOPES: &str = "chat:write chat:write.customize channels:read channels:history channels:join groups:read \
    groups:history im:read im:history mpim:read mpim:history users:read team:read files:read files:write reactions:read \
    reactions:write emoji:read metadata.message:read usergroups:read";

/// The events that a relay subscribes to.
const EVENTS: &str = "message.channels message.groups message.im message.mpim reaction_added reaction_removed \
    channel_rename channel_archive channel_unarchive channel_deleted channel_left group_rename group_archive \
    group_unarchive group_deleted group_left member_joined_channel member_left_channel user_change emoji_changed \
    app_uninstalled tokens_revoked";

impl Slack {
    /// Where the world is: `http://127.0.0.1:…`.
    pub fn base(&self) -> String {
        self.shared.look(|state| state.base.clone())
    }

    /// The base of the Web API, with its slash.
    pub fn api(&self) -> String {
        format!("{}/api/", self.base())
    }

    /// The page of OAuth.
    pub fn authorize_url(&self) -> String {
        format!("{}/oauth/v2/authorize", self.base())
    }

    /// The same world, seen from another workspace, which is made if it is new.
    pub fn team(&self, domain: &str) -> Self {
        let team = self.shared.with(|state| {
            let known = state.teams.values().find(|team| team.domain == domain).map(|team| team.id.clone());
            known.unwrap_or_else(|| state.new_team(domain, domain))
        });
        Self { team, ..self.clone() }
    }

    /// The same world, for another app, which is made if it is new.
    pub fn app(&self, name: &str) -> Self {
        let app = self.shared.with(|state| {
            let known = state.apps.values().find(|app| app.name == name).map(|app| app.id.clone());
            known.unwrap_or_else(|| state.new_app(name))
        });
        Self { app, ..self.clone() }
    }

    /// The workspace's id.
    pub fn team_id(&self) -> String {
        self.team.clone()
    }

    /// The app's keys.
    pub fn keys(&self) -> AppKeys {
        self.shared.look(|state| {
            let app = &state.apps[&self.app];
            AppKeys {
                app_id: app.id.clone(),
                client_id: app.client_id.clone(),
                client_secret: app.client_secret.clone(),
                signing_secret: app.signing_secret.clone(),
                app_token: app.app_token.clone(),
            }
        })
    }

    /// The id of a person, who is made if there is nobody of that name.
    pub fn person(&self, name: &str) -> String {
        self.shared.with(|state| state.person_of(&self.team, name))
    }

    /// Somebody changes what is known of them: `display_name`, `real_name`, `image`, `tz`, `deleted`.
    pub fn changes_profile(&self, name: &str, change: &Value) {
        let id = self.person(name);
        self.shared.with(|state| {
            let user = state.users.get_mut(&id).expect("it was just found");
            let text = |key: &str, old: &mut String| {
                if let Some(new) = change[key].as_str() {
                    new.clone_into(old);
                }
            };
            text("display_name", &mut user.display_name);
            text("real_name", &mut user.real_name);
            text("image", &mut user.image);
            text("tz", &mut user.tz);
            user.deleted = change["deleted"].as_bool().unwrap_or(user.deleted);
            let event = json!({ "type": "user_change", "user": user.json(), "cache_ts": state.now / 1_000_000 });
            state.tell(&events::Audience::Team(&self.team, "users:read"), event);
        });
    }

    /// A public channel with those members; gives its id.
    pub fn channel(&self, name: &str, members: &[&str]) -> String {
        self.room_of(name, Kind::Public, members)
    }

    /// A private channel with those members; gives its id.
    pub fn private(&self, name: &str, members: &[&str]) -> String {
        self.room_of(name, Kind::Private, members)
    }

    /// The direct messages of a person with the bot; gives the channel's id.
    pub fn dm(&self, who: &str) -> String {
        let person = self.person(who);
        self.shared.with(|state| {
            let bot = state.install(&self.app, &self.team).expect("the app is installed").bot_user.clone();
            let both = |channel: &&Channel| channel.kind == Kind::Dm && channel.has(&bot) && channel.has(&person);
            if let Some(known) = state.channels.values().find(both) {
                return known.id.clone();
            }
            let id = state.new_channel(&self.team, "", Kind::Dm);
            state.channel(&id).members = vec![person, bot];
            id
        })
    }

    /// Shares a channel with another workspace (Slack Connect).
    pub fn shares_channel(&self, room: &str, with: &Slack) {
        let id = self.id_of(room);
        self.shared.with(|state| state.channel(&id).shared.insert(with.team.clone()));
    }

    /// A user group; gives its id.
    pub fn group(&self, handle: &str, members: &[&str]) -> String {
        let users: Vec<Id> = members.iter().map(|name| self.person(name)).collect();
        self.shared.with(|state| {
            let (id, team) = (state.id("S"), self.team.clone());
            let group = Group { id: id.clone(), team, handle: handle.to_owned(), name: handle.to_owned(), users };
            state.groups.insert(id.clone(), group);
            id
        })
    }

    /// A custom emoji: a URL, or `alias:other`.
    pub fn emoji(&self, name: &str, value: &str) {
        self.shared.with(|state| {
            state.teams.get_mut(&self.team).expect("ours").emoji.insert(name.to_owned(), value.to_owned());
            let event = json!({ "type": "emoji_changed", "subtype": "add", "name": name, "value": value });
            state.tell(&events::Audience::Team(&self.team, "emoji:read"), event);
        });
    }

    /// Installs the app with the scopes of a relay, without OAuth.
    pub fn install(&self) -> Installed {
        self.install_with(&SCOPES.split_whitespace().collect::<Vec<_>>())
    }

    /// Installs the app with those bot scopes, without OAuth.
    pub fn install_with(&self, scopes: &[&str]) -> Installed {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.shared.with(|state| {
            let install = state.install_app(&self.app, &self.team, &scopes);
            let token = state.bot_token(&install, false);
            Installed { team_id: install.team, bot_user_id: install.bot_user, bot_id: install.bot_id, token }
        })
    }

    /// The bot's scopes are those from now on, as if somebody had removed the others.
    pub fn has_scopes(&self, scopes: &[&str]) {
        self.shared.with(|state| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            for install in state.installs.iter_mut().filter(|one| one.app == self.app && one.team == self.team) {
                install.scopes.clone_from(&scopes);
            }
            let bots = |token: &&mut Token| token.app == self.app && token.team == self.team;
            for token in state.tokens.values_mut().filter(bots).filter(|token| token.holder == Holder::Bot) {
                token.scopes.clone_from(&scopes);
            }
        });
    }

    /// A person's own token for the app.
    pub fn user_token(&self, who: &str, scopes: &[&str]) -> String {
        let user = self.person(who);
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.shared.with(|state| state.person_token(&self.app, &self.team, &user, &scopes))
    }

    /// Somebody removes the app from the workspace.
    pub fn uninstalls(&self) {
        self.shared.with(|state| state.uninstall(&self.app, &self.team));
    }

    /// The app's tokens there die, and it is told so.
    pub fn revokes_tokens(&self) {
        self.shared.with(|state| {
            let people = state.dies(&self.app, &self.team, "token_revoked");
            let bot = state.install(&self.app, &self.team).map(|install| install.bot_user.clone());
            let event = json!({ "type": "tokens_revoked", "tokens": { "oauth": people, "bot": [bot] } });
            state.tell(&events::Audience::Install(&self.app, &self.team), event);
        });
    }

    /// Allows an address, and all that begin with it, as redirect of OAuth.
    pub fn redirects_to(&self, url: &str) {
        self.shared.with(|state| state.app_of(&self.app).redirects.insert(url.to_owned()));
    }

    /// Whether bot tokens of new installations rotate.
    pub fn rotates_tokens(&self, on: bool) {
        self.shared.with(|state| state.app_of(&self.app).rotates = on);
    }

    /// Whoever comes to the page of OAuth next decides so.
    pub fn decides(&self, consent: Consent) {
        self.shared.with(|state| state.consents.push_back(consent));
    }

    /// A person of this workspace follows that address of the page of OAuth in their browser, and decides; gives the
    /// address they are sent to, or what the page complains of.
    pub fn visits(&self, url: &str, consent: &Consent) -> Result<String, String> {
        let url = url::Url::parse(url).map_err(|error| error.to_string())?;
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        self.shared.with(|state| oauth::authorize(state, &self.team, &query, consent))
    }

    /// Sets the Request URL for events, if it answers the handshake.
    pub async fn set_request_url(&self, url: &str) -> Result<(), String> {
        events::verify(&self.shared, &self.app, url).await?;
        self.shared.with(|state| state.app_of(&self.app).request_url = Some(url.to_owned()));
        Ok(())
    }

    /// Switches Socket Mode on, or off.
    pub fn socket_mode(&self, on: bool) {
        self.shared.with(|state| state.app_of(&self.app).socket_mode = on);
        if !on {
            self.disconnects(Disconnect::LinkDisabled);
        }
    }

    /// Subscribes to these events and no others.
    pub fn subscribes(&self, events: &[&str]) {
        self.shared.with(|state| {
            state.app_of(&self.app).subscriptions = events.iter().map(|name| (*name).to_owned()).collect();
        });
    }

    /// The id of a channel, by name or id.
    pub fn id_of(&self, room: &str) -> Id {
        let found = self.shared.look(|state| state.room(&self.team, room).map(|channel| channel.id.clone()));
        found.unwrap_or_else(|| panic!("there is no channel {room}"))
    }

    fn room_of(&self, name: &str, kind: Kind, members: &[&str]) -> Id {
        self.shared.with(|state| {
            let members: Vec<Id> = members.iter().map(|name| state.person_of(&self.team, name)).collect();
            let known = state.room(&self.team, name).map(|channel| channel.id.clone());
            let id = known.unwrap_or_else(|| state.new_channel(&self.team, name, kind));
            state.channel(&id).members.extend(members);
            id
        })
    }
}

impl State {
    pub fn new_team(&mut self, name: &str, domain: &str) -> Id {
        let id = self.id("T");
        let team = Team { id: id.clone(), name: name.into(), domain: domain.into(), emoji: BTreeMap::new() };
        self.teams.insert(id.clone(), team);
        id
    }

    pub fn new_app(&mut self, name: &str) -> Id {
        let id = self.id("A");
        let app_token = self.token(&format!("xapp-1-{id}-"));
        let split = |list: &str| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let app = App {
            id: id.clone(),
            name: name.to_owned(),
            client_id: format!("2000000000000.{}", 3_000_000_000_000 + self.serial),
            client_secret: random(32).to_lowercase(),
            signing_secret: random(32).to_lowercase(),
            verification: random(24),
            app_token: app_token.clone(),
            redirects: ["https://sameroom.example/oauth/slack".to_owned()].into(),
            request_url: None,
            subscriptions: split(EVENTS).into_iter().collect(),
            socket_mode: false,
            rotates: false,
        };
        self.apps.insert(id.clone(), app);
        let token = Token {
            holder: Holder::App,
            app: id.clone(),
            team: Id::new(),
            user: Id::new(),
            bot_id: Id::new(),
            scopes: vec!["connections:write".into()],
            dead: None,
            expires: None,
        };
        self.tokens.insert(app_token, token);
        id
    }

    pub fn new_channel(&mut self, team: &str, name: &str, kind: Kind) -> Id {
        let id = self.id(if kind == Kind::Dm { "D" } else { "C" });
        let blank = json!({ "value": "", "creator": "", "last_set": 0 });
        let channel = Channel {
            id: id.clone(),
            team: team.to_owned(),
            shared: std::collections::BTreeSet::new(),
            name: name.to_owned(),
            previous: Vec::new(),
            kind,
            creator: "USLACKBOT".into(),
            created: self.now,
            members: Vec::new(),
            archived: false,
            topic: blank.clone(),
            purpose: blank,
            messages: BTreeMap::new(),
        };
        self.channels.insert(id.clone(), channel);
        id
    }

    pub fn person_of(&mut self, team: &str, name: &str) -> Id {
        if let Some(known) = self.person(team, name) {
            return known.id.clone();
        }
        let id = self.id("U");
        let user = User {
            id: id.clone(),
            team: team.to_owned(),
            name: name.to_owned(),
            display_name: name.to_owned(),
            real_name: format!("{name} Example"),
            image: format!("{}/avatars/{id}.png", self.base),
            tz: "Europe/Berlin".into(),
            is_bot: false,
            deleted: false,
            bot: None,
        };
        self.users.insert(id.clone(), user);
        id
    }

    fn app_of(&mut self, id: &str) -> &mut App {
        self.apps.get_mut(id).expect("an app of this world")
    }
}
