//! `sameroom keys` and `sameroom owners`.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use sameroom_model::Scope;
use serde_json::{Map, Value, json};

use super::args::{KeysAction, OwnersAction};
use super::problem::Failure;
use super::show::{confirm, expiry, fields, items, table, text, time};
use super::{Desk, names, secret_file};
use crate::output;

pub(super) async fn run(desk: &Desk, action: Option<KeysAction>) -> Result<(), Failure> {
    let client = &desk.client;
    match action.unwrap_or_default() {
        KeysAction::List => {
            let all = client.list(&["keys"], &[]).await?;
            let rows: Vec<Vec<String>> = items(&all)
                .iter()
                .map(|key| vec![text(key, "name"), scopes(key), state(key), time(key, "last_used"), text(key, "id")])
                .collect();
            let empty = "No key yet. Make one by: sameroom keys add --name NAME --scope SCOPE";
            desk.answer(&all, || table(&["KEY", "SCOPES", "STATE", "LAST USED (UTC)", "ID"], &rows, empty));
            Ok(())
        }
        KeysAction::Add { name, scopes, days, expires, owner, to_file } => {
            let scopes: Vec<Scope> = scopes.into_iter().map(Into::into).collect();
            let mut body = json!({ "name": name, "scopes": scopes });
            if let Some(expires) = expires.or_else(|| days.map(|days| format!("{days}d"))) {
                body["expires"] = expiry(&expires)?.into();
            }
            // First the file: a key that can't be written down would be lost.
            let file = match &to_file {
                Some(path) => Some((secret_file(path)?, path.as_path())),
                None => None,
            };
            let path = match &owner {
                Some(owner) => vec!["owners", owner, "keys"],
                None => vec!["keys"],
            };
            match client.post(&path, Some(body)).await {
                Ok(made) => hand_over(desk, made, file),
                Err(e) => {
                    let _ = to_file.map(std::fs::remove_file);
                    Err(e)
                }
            }
        }
        KeysAction::Show { key } => {
            let key = names::pick(client, &["keys"], "key", &key).await?;
            desk.answer(&key, || show(&key));
            Ok(())
        }
        KeysAction::Revoke { key, sure } => {
            let key = names::pick(client, &["keys"], "key", &key).await?;
            confirm(&format!("Revoke the key {}, for good?", text(&key, "name")), sure.yes)?;
            let key = client.delete(&["keys", &text(&key, "id")], &[]).await?;
            desk.answer(&key, || say!("{} The key {} is revoked.", output::mark(true), text(&key, "name")));
            Ok(())
        }
    }
}

pub(super) async fn owners(desk: &Desk, action: Option<OwnersAction>) -> Result<(), Failure> {
    let client = &desk.client;
    let owner = match action.unwrap_or_default() {
        OwnersAction::List => {
            let all = client.list(&["owners"], &[]).await?;
            let row = |owner: &Value| vec![text(owner, "name"), text(owner, "email"), text(owner, "id")];
            let rows: Vec<Vec<String>> = items(&all).iter().map(row).collect();
            desk.answer(&all, || table(&["OWNER", "MAIL", "ID"], &rows, "There is none."));
            return Ok(());
        }
        OwnersAction::Add { name, email } => {
            let mut body = json!({ "name": name });
            if let Some(email) = email {
                body["email"] = email.into();
            }
            client.post(&["owners"], Some(body)).await?
        }
        OwnersAction::Show { owner } => client.get(&["owners", &owner]).await?,
        OwnersAction::Change { owner, name, email } => {
            let mut body = Map::new();
            body.extend(name.map(|name| ("name".to_owned(), Value::from(name))));
            // No address is none.
            let address = |email: String| if email.is_empty() { Value::Null } else { email.into() };
            body.extend(email.map(|email| ("email".to_owned(), address(email))));
            client.patch(&["owners", &owner], Value::Object(body)).await?
        }
    };
    desk.answer(&owner, || {
        fields(&[
            ("Owner", text(&owner, "name")),
            ("Mail", text(&owner, "email")),
            ("Since (UTC)", time(&owner, "made_at")),
            ("Id", text(&owner, "id")),
        ]);
    });
    Ok(())
}

/// Shows a new key, once, or writes it to a file.
fn hand_over(desk: &Desk, mut made: Value, file: Option<(File, &Path)>) -> Result<(), Failure> {
    if let Some((mut file, path)) = file {
        writeln!(file, "{}", made["token"].as_str().unwrap_or_default()).map_err(|e| {
            let id = text(&made["key"], "id");
            Failure::other(format!("{} can't be written ({e}); revoke the key {id}, and make another", path.display()))
        })?;
        // It is where it was to be, and nowhere else.
        if let Some(fields) = made.as_object_mut() {
            fields.remove("token");
        }
        desk.answer(&made, || {
            show(&made["key"]);
            say!("\nThe key is in {}.", path.display());
        });
        return Ok(());
    }
    desk.answer(&made, || {
        // The token alone goes to standard output, so that a script can take it.
        tell!("{} {} ({})", output::mark_told(true, "✓"), text(&made["key"], "id"), scopes(&made["key"]));
        tell!("Its token follows. It is not shown again; send it as `Authorization: Bearer TOKEN`.");
        say!("{}", text(&made, "token"));
    });
    Ok(())
}

fn show(key: &Value) {
    fields(&[
        ("Key", text(key, "name")),
        ("Scopes", scopes(key)),
        ("State", state(key)),
        ("Begins with", text(key, "hint")),
        ("Made (UTC)", time(key, "made_at")),
        ("Last used (UTC)", time(key, "last_used")),
        ("Id", text(key, "id")),
    ]);
}

fn scopes(key: &Value) -> String {
    let scopes = key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    scopes.collect::<Vec<_>>().join(", ")
}

fn state(key: &Value) -> String {
    match (time(key, "revoked"), time(key, "expires")) {
        (revoked, _) if !revoked.is_empty() => format!("revoked {revoked}"),
        (_, expires) if !expires.is_empty() => format!("until {expires}"),
        _ => "valid".to_owned(),
    }
}
