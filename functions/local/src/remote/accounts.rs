//! `sameroom accounts`: adding one step by step in the terminal, renewing, refreshing, removing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::args::{AccountsAction, Answers};
use super::problem::Failure;
use super::show::{confirm, count, fields, items, place, plain, table, text};
use super::{Desk, names, show};
use crate::{output, secrets};

/// How often we look whether a step is over.
const LOOK: Duration = Duration::from_secs(1);
/// How often one form is filled in before we give up.
const TRIES_MAX: u32 = 5;

pub(super) async fn run(desk: &Desk, action: Option<AccountsAction>) -> Result<(), Failure> {
    match action.unwrap_or_default() {
        AccountsAction::List => list(desk).await,
        AccountsAction::Add { platform, app, answers } => {
            let app = match app {
                Some(app) => Some(names::account(&desk.client, &app).await?["id"].clone()),
                None => None,
            };
            let mut body = json!({ "platform": platform });
            if let Some(app) = app {
                body["app"] = app;
            }
            onboard(desk, body, &answers, "is connected").await
        }
        AccountsAction::Show { account } => {
            let account = names::account(&desk.client, &account).await?;
            desk.answer(&account, || show_one(&account));
            Ok(())
        }
        AccountsAction::Renew { account, answers } => {
            let account = names::account(&desk.client, &account).await?;
            onboard(desk, json!({ "renew": account["id"] }), &answers, "is renewed").await
        }
        AccountsAction::Refresh { account } => {
            let account = names::account(&desk.client, &account).await?;
            let found = desk.client.post(&["accounts", &text(&account, "id"), "refresh"], None).await?;
            desk.answer(&found, || {
                say!("{} sees {} rooms; {} are gone.", text(&account, "name"), found["found"], found["gone"]);
            });
            Ok(())
        }
        AccountsAction::Remove { account, sure } => remove(desk, &account, sure.yes).await,
    }
}

async fn list(desk: &Desk) -> Result<(), Failure> {
    let all = desk.client.list(&["accounts"], &[]).await?;
    let rows: Vec<Vec<String>> = items(&all)
        .iter()
        .map(|account| {
            let why = text(account, "why");
            let state = text(account, "state").replace('_', " ");
            let state = if why.is_empty() { state } else { format!("{state}: {why}") };
            vec![
                text(account, "name"),
                text(account, "platform"),
                text(account, "endpoint"),
                state,
                text(account, "id"),
            ]
        })
        .collect();
    desk.answer(&all, || {
        table(
            &["NAME", "PLATFORM", "WHERE", "STATE", "ID"],
            &rows,
            "No account yet. Add one by: sameroom accounts add PLATFORM",
        );
    });
    Ok(())
}

fn show_one(account: &Value) {
    fields(&[
        ("Account", text(account, "name")),
        ("Platform", text(account, "platform")),
        ("Where", text(account, "endpoint")),
        ("State", text(account, "state").replace('_', " ")),
        ("Why", text(account, "why")),
        ("Kind", text(account, "kind")),
        ("App", text(account, "app")),
        ("Id", text(account, "id")),
    ]);
}

async fn remove(desk: &Desk, named: &str, yes: bool) -> Result<(), Failure> {
    let account = names::account(&desk.client, named).await?;
    let id = text(&account, "id");
    let impact = desk.client.get(&["accounts", &id, "impact"]).await?;
    let lists = |name: &str| impact[name].as_array().cloned().unwrap_or_default();
    let (tubes, portals) = (lists("tubes"), lists("portals"));
    if !desk.json && !yes {
        let rooms = impact["rooms"].as_u64().unwrap_or_default();
        say!(
            "With {} go {}, {} and {}.",
            text(&account, "name"),
            count(rooms, "room", "rooms"),
            count(tubes.len() as u64, "Tube", "Tubes"),
            count(portals.len() as u64, "Portal", "Portals")
        );
        let stops = |whose: &str| impact["installations"][whose].as_u64().unwrap_or_default();
        if stops("yours") + stops("others") > 0 {
            say!(
                "{} of it, and {} of other owners', would work no more.",
                count(stops("yours"), "installation", "installations"),
                stops("others")
            );
        }
        for tube in &tubes {
            say!("  Tube {}", super::tubes::ends(tube));
        }
        for portal in &portals {
            say!("  Portal for {}", place(portal));
        }
    }
    confirm(&format!("Remove {}, with all that goes with it?", text(&account, "name")), yes)?;
    desk.client.delete(&["accounts", &id], &[]).await?;
    desk.answer(&json!({ "removed": id }), || say!("{} is removed.", text(&account, "name")));
    Ok(())
}

/// Goes from step to step until the account is there.
async fn onboard(desk: &Desk, begin: Value, answers: &Answers, done: &str) -> Result<(), Failure> {
    let given = given(answers)?;
    let mut step = desk.client.post(&["accounts"], Some(begin)).await?;
    let id = text(&step, "id");
    let account = match walk(desk, &mut step, &given).await {
        Ok(account) => account,
        Err(e) => {
            // What was answered so far is forgotten there.
            let _ = desk.client.delete(&["onboardings", &id], &[]).await;
            return Err(e);
        }
    };
    let account = desk.client.get(&["accounts", &account]).await?;
    desk.answer(&account, || {
        say!("{} {} on {} {done}.", output::mark(true), text(&account, "name"), text(&account, "endpoint"));
        say!("{}", output::dim("Find its rooms by: sameroom rooms find TEXT"));
    });
    Ok(())
}

/// The id of the account that came of it.
async fn walk(desk: &Desk, step: &mut Value, given: &BTreeMap<String, String>) -> Result<String, Failure> {
    let id = text(step, "id");
    let mut asked = 0;
    loop {
        match step["state"].as_str().unwrap_or_default() {
            "ask" => {
                asked += 1;
                *step = fill_in(desk, &id, &step["form"], given, asked).await?;
            }
            "visit" => *step = visit(desk, &id, &text(step, "url")).await?,
            "wait" => {
                tokio::time::sleep(LOOK / 2).await;
                *step = desk.client.get(&["onboardings", &id]).await?;
            }
            "done" => return Ok(text(step, "account")),
            "failed" => return Err(Failure::refused(format!("it came to nothing: {}", text(step, "why")))),
            other => {
                return Err(Failure::other(format!(
                    "that Sameroom knows a step '{other}'; use its version of this program"
                )));
            }
        }
    }
}

/// Fills in a form: from what was given ahead, and else from the terminal.
async fn fill_in(
    desk: &Desk,
    id: &str,
    form: &Value,
    given: &BTreeMap<String, String>,
    asked: u32,
) -> Result<Value, Failure> {
    let all = form["fields"].as_array().cloned().unwrap_or_default();
    let typing = std::io::stdin().is_terminal();
    if typing {
        tell!("{}", output::bold(&text(form, "title")));
    }
    let mut wrong: Vec<String> = Vec::new();
    loop {
        let answer = gather(&all, given, &wrong, typing)?;
        let body = json!({ "fields": answer });
        match desk.client.post(&["onboardings", id, "answers"], Some(body)).await {
            Ok(next) => return Ok(next),
            Err(e) if typing && e.code == 6 && asked <= TRIES_MAX && wrong.len() < 1000 => {
                tell!("{} {e}", output::mark_told(false, "✗"));
                // What the form asks for is asked again, where it was wrong; given answers that did not do, too.
                wrong = e.fields.iter().filter_map(|field| field.strip_prefix("/fields/").map(str::to_owned)).collect();
                if wrong.is_empty() {
                    wrong = all.iter().map(|field| text(field, "name")).collect();
                }
            }
            Err(e) => return Err(e),
        }
    }
}

fn gather(
    all: &[Value],
    given: &BTreeMap<String, String>,
    wrong: &[String],
    typing: bool,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut answer = BTreeMap::new();
    let mut missing = Vec::new();
    for field in all {
        let (name, optional) = (text(field, "name"), field["optional"] == true);
        if let Some(value) = given.get(&name).filter(|_| !wrong.contains(&name)) {
            answer.insert(name, value.clone());
        } else if typing {
            let value = type_in(field, optional)?;
            if !value.is_empty() {
                answer.insert(name, value);
            }
        } else if !optional {
            missing.push(format!("  --set {name}=…  {}: {}", text(field, "label"), text(field, "help")));
        }
    }
    if missing.is_empty() {
        return Ok(answer);
    }
    Err(Failure::refused(format!("some answers are missing, and there is no terminal to ask:\n{}", missing.join("\n"))))
}

/// Asks for one field, until there is something where there has to be.
fn type_in(field: &Value, optional: bool) -> Result<String, Failure> {
    let help = text(field, "help");
    if !help.is_empty() {
        tell!("{}", output::dim(&help));
    }
    let label = if optional { format!("{} (optional)", text(field, "label")) } else { text(field, "label") };
    loop {
        let typed = show::ask(&label, field["secret"] == true).map_err(|e| Failure::other(format!("{e:#}")))?;
        let typed = secrets::resolve_one(&label, typed.trim()).map_err(|e| Failure::refused(format!("{e:#}")))?;
        if optional || !typed.is_empty() {
            return Ok(typed);
        }
    }
}

/// Sends the person to a page, and waits until their browser came back; or takes the address that it came back to.
async fn visit(desk: &Desk, id: &str, url: &str) -> Result<Value, Failure> {
    tell!("Open this page and say yes there:\n\n  {}\n", output::bold(url));
    tell!(
        "{}",
        output::dim(
            "Waiting until your browser is back. If it can't get back by itself, paste the address it shows here."
        )
    );
    let (pasted, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // Never joined: it may wait for a line that never comes.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if pasted.send(line).is_err() {
                return;
            }
        }
    });
    let mut open = true;
    loop {
        let line = tokio::select! {
            line = lines.recv(), if open => line,
            () = tokio::time::sleep(LOOK) => {
                let step = desk.client.get(&["onboardings", id]).await?;
                if step["state"] != "visit" || plain(step["url"].as_str().unwrap_or_default()) != url {
                    return Ok(step);
                }
                continue;
            }
        };
        let Some(line) = line else {
            open = false;
            continue;
        };
        let query: BTreeMap<String, String> = match Url::parse(line.trim()) {
            Ok(back) => back.query_pairs().into_owned().collect(),
            Err(_) => BTreeMap::new(),
        };
        if query.is_empty() {
            tell!("That is no address with what the platform sends along; paste all of it.");
            continue;
        }
        let body = json!({ "returned": query });
        return desk.client.post(&["onboardings", id, "answers"], Some(body)).await;
    }
}

/// What `--set` says, with the secrets that it refers to.
fn given(answers: &Answers) -> Result<BTreeMap<String, String>, Failure> {
    let mut given = BTreeMap::new();
    for set in &answers.set {
        let Some((name, value)) = set.split_once('=') else {
            return Err(Failure::refused(format!("'--set {set}' says no value; write --set NAME=VALUE")));
        };
        let value = secrets::resolve_one(name, value).map_err(|e| Failure::refused(format!("{e:#}")))?;
        given.insert(name.to_owned(), value);
    }
    Ok(given)
}
