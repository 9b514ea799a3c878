//! What is checked in and made from the code: docs/openapi.json, the examples, the tables of docs/api.md. And the walk of
//! docs/api.md, played as it is written.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::World;
use crate::api::problem::Kind;
use crate::api::{document, openapi};

/// What follows it in docs/api.md is made from the code.
const MARK: &str = "<!-- From here on it is written by the tests of sameroom-web. -->";

/// Sees that a file is as the code says, or writes it.
pub(super) fn same(path: &str, expected: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = known.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        known == expected,
        "{path} is not as the code says (first in line {}). Write it anew, twice if examples changed:\n  \
         UPDATE_OPENAPI=1 cargo test -p sameroom-web api",
        differs.unwrap_or_else(|| known.lines().count().min(expected.lines().count())) + 1
    );
}

#[test]
fn the_document_that_is_checked_in_is_the_one_that_is_served() {
    let document = document::document();
    same("docs/openapi.json", &document::print(&document));
}

#[tokio::test]
async fn the_document_is_served_to_anybody() {
    let world = World::new().await;
    let reply = world.send("GET", "/api/v1/openapi.json", &[], None).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "application/json"));
    assert_eq!(reply.text, openapi::DOCUMENT);
}

#[test]
fn every_operation_says_what_it_is_and_has_a_name_of_its_own() {
    let document = document::document();
    let mut names = Vec::new();
    for (method, path, operation) in document::operations(&document) {
        assert!(operation["summary"].is_string(), "{method} {path}");
        assert!(operation["tags"][0].is_string(), "{method} {path}");
        names.push(operation["operationId"].as_str().unwrap().to_owned());
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is not in the document");
    }
}

#[test]
fn the_tables_of_the_guide_are_as_the_code_says() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let known = std::fs::read_to_string(file).unwrap();
    let (walk, _) = known.split_once(MARK).expect("the mark is there");
    same("docs/api.md", &format!("{walk}{MARK}\n{}", tables()));
}

/// The lists of operations and problems.
fn tables() -> String {
    let document = document::document();
    let mut out =
        String::from("\n## Operations\n\nPaths follow `/api/v1`. Shapes and examples: [openapi.json](openapi.json).\n");
    let tags = document["tags"].as_array().unwrap();
    for tag in tags {
        let (name, about) = (tag["name"].as_str().unwrap(), tag["description"].as_str().unwrap());
        write!(out, "\n### {name}\n{about}\n\n| | | scope |\n|---|---|---|\n").unwrap();
        for (method, path, operation) in document::operations(&document) {
            if operation["tags"][0] == name {
                let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (summary, scope) = (word(&operation["summary"]), word(&operation["security"][0]["key"][0]));
                writeln!(out, "| `{method} {path}` | {summary} | {scope} |").unwrap();
            }
        }
    }
    out.push_str("\n## Problems\n\nThe last part of a problem's `type`, `urn:sameroom:problem:...`.\n\n| type | status | |\n|---|---|---|\n");
    for (kind, about) in Kind::ALL {
        writeln!(out, "| {} | {} | {} |", kind.as_str(), kind.status().as_u16(), about.trim()).unwrap();
    }
    out
}

/// The shell commands of the walk, in order.
fn commands() -> Vec<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let text = std::fs::read_to_string(file).unwrap();
    let (walk, _) = text.split_once(MARK).unwrap();
    walk.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_walk_works_as_written() {
    let tools = ["curl", "jq"].iter().all(|tool| std::process::Command::new(tool).arg("--version").output().is_ok());
    if !tools {
        println!("not played: there is no curl or no jq here");
        return;
    }
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = world.router.clone();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    // The first lines set the address and the key; a newcomer's program makes that key, here the test does.
    let mut script = format!("set -eu\nS={url}\nKEY={}\n", world.admin);
    let commands = commands();
    assert!(commands.len() >= 6, "{}", commands.len());
    for block in commands.iter().filter(|block| !block.contains("sameroom keys add") && !block.contains("curl -N")) {
        script.push_str(block);
    }
    let shell = tokio::process::Command::new("sh").arg("-c").arg(&script).output();
    let out = tokio::time::timeout(std::time::Duration::from_secs(30), shell).await.expect("in time").unwrap();
    server.abort();
    let (told, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{script}\n{told}\n{wrong}");
    assert!(!told.contains("urn:sameroom:problem"), "{told}");
    assert!(told.contains("\"open\"") || told.contains("open"), "{told}");
}
