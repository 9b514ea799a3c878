//! How an IRC account is added: one form. It must not know sessions.

use std::collections::BTreeMap;

use url::Url;

use super::locate;
use super::settings::{PASSWORD, Settings, valid_nick};
use crate::{Answer, Field, Form, Problem, Step};

/// The next step of adding an account.
pub(super) fn onboard(answers: &[Answer]) -> Result<Step, Problem> {
    match answers.last() {
        None => Ok(Step::Ask(form())),
        Some(Answer::Fields(fields)) => done(fields),
        Some(_) => Err(problem(None, "this form is filled in, not visited: answer it with its fields")),
    }
}

fn form() -> Form {
    let field = |name, label, help, optional, secret| Field { name, label, help, optional, secret };
    Form {
        title: "Add an IRC server",
        fields: vec![
            field("url", "Server", "The server's URL, for example ircs://irc.libera.chat.", false, false),
            field("nick", "Nick", "The bot's nick there. Left empty: sameroom.", true, false),
            field("account", "Account", "The services account to log in to, where it is not the nick.", true, false),
            field("password", "Password", "The account's password. Left empty: no login.", true, true),
        ],
    }
}

fn done(fields: &BTreeMap<String, String>) -> Result<Step, Problem> {
    let field = |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let Some(typed) = field("url") else {
        return Err(problem(Some("url"), "give the server's URL, for example ircs://irc.libera.chat"));
    };
    // A bare host name is what people type first.
    let whole = if typed.contains("://") { typed.to_owned() } else { format!("ircs://{typed}") };
    let url = Url::parse(&whole)
        .map_err(|_| problem(Some("url"), "that is not a URL: give one like ircs://irc.libera.chat"))?;
    let mut draft = locate::server(&url).map_err(|message| problem(Some("url"), message))?;
    if let Some(nick) = field("nick") {
        if !valid_nick(nick) {
            return Err(problem(Some("nick"), "a nick begins with a letter, then has letters, digits, - and _"));
        }
        nick.clone_into(&mut draft.identity.name);
    }
    if let Some(account) = field("account") {
        if account.chars().any(|c| c.is_control() || c == ' ') {
            return Err(problem(Some("account"), "an account's name has no spaces"));
        }
        let mut settings = Settings::of(&draft.settings);
        settings.user = Some(account.to_owned());
        draft.settings = settings.json();
    }
    // Not trimmed: a password may end in a space.
    if let Some(password) = fields.get("password").filter(|password| !password.is_empty()) {
        if password.contains(['\r', '\n', '\0']) {
            return Err(problem(Some("password"), "a password has no line breaks"));
        }
        draft.secrets.set(PASSWORD, password.as_str());
    } else if field("account").is_some() && draft.secrets.get(PASSWORD).is_none() {
        return Err(problem(Some("password"), "an account needs its password: give it, or leave the account empty"));
    }
    Ok(Step::Done(Box::new(draft)))
}

fn problem(field: Option<&'static str>, message: impl Into<String>) -> Problem {
    Problem { field, message: message.into() }
}
