//! How an account is added, by a room's URL or by a form: an address and a secret. Must not try the address.

use percent_encoding::percent_decode_str;
use sameroom_model::{Identity, Place, RoomKey, Secrets};
use serde_json::Value;
use url::Url;

use super::ABOUT;
use super::inbound::DEFAULT_ROOM;
use super::signature::{self, SECRETS};
use crate::{Answer, BadUrl, Draft, Field, Form, Located, Problem, RoomDraft, Step};

const NO_SECRET: &str = "A webhook needs a secret that both sides sign with. Make one with `openssl rand -base64 32`, \
     keep it in the environment as whsec_ and that text, and add `?secret=env:NAME` to the URL.";
const BAD_SECRET: &str = "The secret is not usable: after whsec_ must come base64, else any text that is not empty.";

pub(super) fn locate(url: &Url) -> Result<Located, BadUrl> {
    let bad = |why: &str| BadUrl(why.to_owned());
    let address = url
        .as_str()
        .strip_prefix("webhook+")
        .ok_or_else(|| bad("A webhook's URL begins with webhook+https:// or webhook+http://."))?;
    let mut endpoint =
        Url::parse(address).map_err(|error| BadUrl(format!("The webhook's URL is not one: {error}.")))?;
    let room = match endpoint.fragment() {
        None | Some("") => DEFAULT_ROOM.to_owned(),
        Some(fragment) => percent_decode_str(fragment)
            .decode_utf8()
            .map_err(|_| bad("The room's name after # is not UTF-8."))?
            .into_owned(),
    };
    if room.len() > 256 || room.chars().any(char::is_control) {
        return Err(bad("The room's name after # must have at most 256 bytes and no control characters."));
    }
    let secrets = secrets(&endpoint)?;
    strip(&mut endpoint);
    let account = draft(&endpoint, secrets).map_err(|(_, why)| BadUrl(why))?;
    let site = endpoint.host_str().unwrap_or_default().to_owned();
    let room = RoomDraft { key: RoomKey::from(room.as_str()), name: room, site, settings: Value::Null };
    Ok(Located { account, room })
}

pub(super) fn onboard(answers: &[Answer]) -> Result<Step, Problem> {
    let Some(Answer::Fields(fields)) = answers.last() else {
        return Ok(Step::Ask(form()));
    };
    let field = |name: &str| fields.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let problem = |field, message: String| Problem { field: Some(field), message };
    let address = field("url").ok_or_else(|| problem("url", "Give the address that is called.".to_owned()))?;
    let mut endpoint = Url::parse(address.strip_prefix("webhook+").unwrap_or(address))
        .map_err(|error| problem("url", format!("That is not a URL: {error}.")))?;
    strip(&mut endpoint);
    let secrets: Secrets = SECRETS.into_iter().filter_map(|name| Some((name, field(name)?))).collect();
    let draft = draft(&endpoint, secrets).map_err(|(field, why)| problem(field, why))?;
    Ok(Step::Done(Box::new(draft)))
}

fn form() -> Form {
    let field = |name, label, help, optional, secret| Field { name, label, help, optional, secret };
    Form {
        title: "Connect anything that speaks Standard Webhooks.",
        fields: vec![
            field(
                "url",
                "Address",
                "Where messages are posted to, for example https://example.com/hooks/chat.",
                false,
                false,
            ),
            field(
                "secret",
                "Secret",
                "Both sides sign with it. Make one: whsec_ and what `openssl rand -base64 32` prints.",
                false,
                true,
            ),
            field("secret_next", "Next secret", "Also accepted from them, while you change secrets.", true, true),
        ],
    }
}

/// An account from an address and secrets; or the field that does not do, and why.
fn draft(endpoint: &Url, secrets: Secrets) -> Result<Draft, (&'static str, String)> {
    let url = |why: &str| Err(("url", why.to_owned()));
    if !matches!(endpoint.scheme(), "http" | "https") {
        return url("The address must begin with https:// or http://.");
    }
    if !endpoint.username().is_empty() || endpoint.password().is_some() {
        return url("Leave user name and password out of the address: requests are signed with the secret instead.");
    }
    if endpoint.as_str().parse::<http::Uri>().is_err() {
        return url("The address can't be called: write it in ASCII, with %-escapes.");
    }
    if secrets.get(SECRETS[0]).is_none() {
        return Err((SECRETS[0], NO_SECRET.to_owned()));
    }
    for (index, name) in SECRETS.into_iter().enumerate() {
        if secrets.get(name).is_some_and(|secret| !is_reference(secret) && signature::key(secret).is_none()) {
            return Err((SECRETS[index], BAD_SECRET.to_owned()));
        }
    }
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = endpoint.path().trim_end_matches('/');
    let identity = Identity { key: None, name: format!("{host}{port}{path}") };
    Ok(Draft {
        platform: ABOUT.name,
        endpoint: endpoint.as_str().to_owned(),
        identity,
        settings: Value::Null,
        secrets,
        place: Place::Alone,
    })
}

/// Takes off what is not the receiver's: the fragment and our own parameters. The rest of the query stays as it was
/// written.
fn strip(endpoint: &mut Url) {
    endpoint.set_fragment(None);
    let ours = |pair: &&str| SECRETS.contains(&pair.split('=').next().unwrap_or_default());
    let rest: Vec<_> = endpoint.query().unwrap_or_default().split('&').filter(|pair| !ours(pair)).collect();
    let rest = rest.join("&");
    endpoint.set_query(Some(rest.as_str()).filter(|query| !query.is_empty()));
}

/// The secrets in an address. A plus sign stands for itself, since base64 has it.
fn secrets(endpoint: &Url) -> Result<Secrets, BadUrl> {
    let pairs = endpoint.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| SECRETS.contains(name))
        .map(|(name, value)| match percent_decode_str(value).decode_utf8() {
            Ok(value) => Ok((name, value.into_owned())),
            Err(_) => Err(BadUrl(format!("The {name} in the URL is not UTF-8."))),
        })
        .collect()
}

fn is_reference(secret: &str) -> bool {
    secret.starts_with("env:") || secret.starts_with("file:")
}
