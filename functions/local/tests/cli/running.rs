//! Commands while the program runs and while it does not, and what it does by itself.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::world::{PATIENCE, Place, Target};

const SECRET: (&str, &str) = ("HOOK_SECRET", "whsec_c2FtZXJvb20gdGVzdHMgc2lnbiB3aXRoIHRoaXM=");

/// A post as the page sends it.
fn deed(id: &str, text: &str) -> String {
    serde_json::json!({
        "type": "post", "id": id, "author": { "id": "0123456789abcdef", "name": "Ada" }, "text": text,
    })
    .to_string()
}

#[test]
fn a_newcomer_types_in_one_room_and_reads_it_in_the_other() {
    let place = Place::new();
    let running = place.start(&[]);
    let tokens = running.tokens();
    let answer = running.post(&format!("/hooks/local/local/{}", tokens[0]), &[], &deed("1", "hello **there**"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let heard = running.hears(&tokens[1], &["\"name\":\"Ada", "hello"]);
    assert!(heard.contains("<strong>there</strong>"), "{heard}");
}

#[test]
fn a_key_is_made_while_it_runs_and_while_it_does_not_and_opens_the_api() {
    let place = Place::new();
    let before = place.does(&["keys", "add", "--name", "before", "--scope", "read"]);
    let running = place.start(&[]);
    let during = place.json(&["keys", "add", "--name", "during", "--days", "7"])["token"].clone();
    for (token, status) in [(before.trim(), 403), (during.as_str().expect("a token"), 201), ("sr_no", 401)] {
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let answer = running.post("/api/v1/rooms", &headers, r#"{"url": "local:tea room"}"#);
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[test]
fn told_to_end_it_ends_and_the_next_start_finds_everything() {
    let place = Place::new();
    let running = place.start(&["connect", "local:tea room", "local:garden"]);
    let tokens = running.tokens();
    assert_eq!(running.post(&format!("/hooks/local/local/{}", tokens[0]), &[], &deed("1", "kept")).status, 200);
    running.hears(&tokens[1], &["kept"]);
    let socket = place.data().join("sameroom.sock");
    assert_eq!(socket.metadata().expect("a socket").permissions().mode() & 0o777, 0o600);
    let before = running.ready["tubes"].clone();
    assert!(running.terminate().success());
    assert!(!socket.exists());

    // The same names are the same rooms.
    let again = place.start(&["connect", "local:tea room", "local:garden"]);
    assert_eq!(again.ready["tubes"], before);
    assert_eq!(again.tokens(), tokens);
    again.hears(&tokens[1], &["kept"]);
    let status = place.json(&["status"]);
    assert_eq!(status["conserves"], true, "{status}");
    assert_eq!(status["url"], again.url());
}

#[test]
fn a_network_file_goes_round_while_it_runs_and_while_it_does_not() {
    let place = Place::with(&[SECRET, ("IRC_PASSWORD", "irc-secret"), ("CHANNEL_KEY", "letmein")]);
    let text = "[accounts.hook]\nurl = \"webhook+http://127.0.0.1:9/hooks/chat\"\nsecret = \"env:HOOK_SECRET\"\n\n\
        [accounts.irc]\nurl = \"irc://sambot@127.0.0.1:6\"\npassword = \"env:IRC_PASSWORD\"\nburst = 9\n\n\
        [rooms.general]\naccount = \"hook\"\nroom = \"#general\"\nauthor = \"both\"\ndirection = \"not-in\"\n\n\
        [rooms.dev]\naccount = \"irc\"\nroom = \"#dev\"\n\n\
        [rooms]\ntea = \"local:Tea & Biscuits\"\nkeyed = \"irc://other@127.0.0.1:6/#Keyed?key=env:CHANNEL_KEY\"\n\n\
        [[tubes]]\nrooms = [\"general\", \"tea\"]\n\n[[tubes]]\nrooms = [\"dev\", \"tea\"]\npaused = true\n\n\
        [[tubes]]\nrooms = [\"keyed\", \"tea\"]\n";
    let file = place.write("net.toml", text);
    let running = place.start(&[]);

    let plan = place.does(&["apply", &file, "--dry-run"]);
    for line in [
        "+ account hook (webhook)",
        "+ room general: general on 127.0.0.1: author name -> both, direction both -> not-in",
        "+ tube general ⇄ tea",
        "+ tube dev ⇄ tea: paused",
        "Nothing was changed",
        "1 Tube is not in the file; --prune removes it.",
    ] {
        assert!(plan.contains(line), "{line}\n--\n{plan}");
    }
    assert_eq!(place.json(&["status"])["tubes"].as_array().map(Vec::len), Some(1), "nothing was changed");
    place.does(&["apply", &file]);
    assert_eq!(place.json(&["status"])["tubes"].as_array().map(Vec::len), Some(4));
    assert!(place.does(&["apply", &file]).contains("Nothing to do"));
    assert!(
        place.does(&["apply", &file, "--prune"]).contains("- tube Kitchen on this Sameroom ⇄ Garden on this Sameroom")
    );

    place.write("net.toml", &text.replace("author = \"both\"", "team = true").replace("paused = true\n", ""));
    let changed = place.does(&["apply", &file]);
    assert!(changed.contains("~ room general: author both -> name, team false -> true"), "{changed}");
    assert!(changed.contains("~ tube dev ⇄ tea: paused -> open"), "{changed}");

    // What is exported applies to the same state: here, and in another folder.
    let exported = place.does(&["export"]);
    for secret in ["irc-secret", "letmein", "whsec_"] {
        assert!(!exported.contains(secret), "{exported}");
    }
    let names: Vec<&str> = exported.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    assert_eq!(names.len(), 3, "{exported}");
    let value = |name: &str| match name {
        name if name.contains("KEY") => "letmein",
        name if name.ends_with("_PASSWORD") => "irc-secret",
        _ => SECRET.1,
    };
    let set: Vec<(&str, &str)> = names.iter().map(|name| (*name, value(name))).collect();
    let mut place = place;
    place.variables.extend(set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let copy = place.write("exported.toml", &exported);
    let again = place.does(&["apply", &copy]);
    assert!(again.contains("Nothing to do"), "{again}\n{exported}");
    assert!(running.terminate().success());
    assert!(place.does(&["apply", &copy, "--prune"]).contains("Nothing to do"), "also while it does not run");

    let elsewhere = Place::with(&set);
    elsewhere.does(&["apply", &copy]);
    assert_eq!(elsewhere.does(&["export"]).replace('\n', " "), exported.replace('\n', " "));
}

#[test]
fn an_account_that_was_changed_connects_anew_while_it_runs() {
    let place = Place::new();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let text = format!(
        "[accounts.irc]\nurl = \"irc://sambot@{}\"\nrealname = \"first\"\n[rooms.dev]\naccount = \"irc\"\nroom = \
         \"#dev\"\n[rooms]\ntea = \"local:tea\"\n[[tubes]]\nrooms = [\"dev\", \"tea\"]\n",
        server.local_addr().expect("bound")
    );
    let introduces = |name: &str| {
        let (stream, _) = server.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        let reader = BufReader::new(stream);
        let mut lines = reader.lines().map(|line| line.expect("a line in time"));
        assert!(lines.any(|line| line.starts_with("USER ") && line.ends_with(name)), "{name}");
        lines
    };
    let running = place.start(&[]);
    place.does(&["apply", &place.write("net.toml", &text)]);
    let mut first = introduces("first");
    let changed = place.does(&["apply", &place.write("net.toml", &text.replace("first", "second"))]);
    assert!(changed.contains("~ account irc (irc): realname first -> second"), "{changed}");
    assert!(first.any(|line| line.starts_with("QUIT")), "the old connection says goodbye");
    drop(first);
    drop(introduces("second"));
    drop(running);
}

#[test]
fn what_is_not_signed_or_not_whole_is_refused() {
    let place = Place::with(&[SECRET]);
    let hook = "webhook+http://127.0.0.1:9/hooks/chat?secret=env:HOOK_SECRET#main";
    let running = place.start(&["connect", hook, "local:tea"]);
    let id = place.json(&["status"])["accounts"][0]["id"].as_str().expect("an account").to_owned();
    let path = format!("/hooks/webhook/{id}");
    let headers =
        [("webhook-id", "1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,bm90IHNpZ25lZA=="), ("x", "y")];
    let unsigned = running.post(&path, &headers, "{}");
    assert_eq!(unsigned.status, 401, "{unsigned:?}");
    assert!(unsigned.body.contains("urn:sameroom:problem:unauthorized"), "{unsigned:?}");
    let unknown = running.post("/hooks/webhook/webhook-nobody", &headers, "{}");
    assert_eq!((unknown.status, unknown.body), (401, unsigned.body), "nobody learns which accounts there are");
    let huge = running.post(&path, &[], &"x".repeat(300_000));
    assert_eq!(huge.status, 413, "{huge:?}");
    assert!(huge.body.contains("longer than 262144 bytes"), "{huge:?}");
    let cut = running.cut(&format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"cut\":"));
    assert_eq!(cut.status, 400, "{cut:?}");
    let status = place.json(&["status"]);
    assert_eq!(status["census"]["tally"]["accepted"].as_i64().unwrap_or_default(), 0, "{status}");
}

#[test]
fn what_failed_is_listed_without_its_words_and_replayed() {
    let place = Place::with(&[SECRET]);
    let target = Target::new(400);
    let hook = format!("webhook+http://127.0.0.1:{}/in?secret=env:HOOK_SECRET#main", target.port);
    let running = place.start(&["connect", &hook, "local:tea"]);
    let tokens = running.tokens();
    assert_eq!(
        running.post(&format!("/hooks/local/local/{}", tokens[0]), &[], &deed("1", "unforgettable")).status,
        200
    );
    target.gets(400, "unforgettable");
    // The refusal is recorded a moment after it was answered.
    let failed = loop {
        let failed = place.json(&["deliveries"])["failed"].as_array().expect("a list").clone();
        if let Some(failed) = failed.iter().find(|failed| failed["what"] == "message") {
            break failed.clone();
        }
    };
    assert_eq!(failed["from"], "tea on this Sameroom");
    let shown = place.does(&["deliveries", "list"]);
    assert!(shown.contains("main on 127.0.0.1") && !shown.contains("unforgettable"), "{shown}");
    place.run(&["deliveries", "replay", "none"]).refuses(&["nothing that failed is called 'none'"]);
    place.run(&["deliveries", "resume", "none"]).refuses(&["no lane with something in it is called 'none'"]);

    target.answers(200);
    let id = failed["id"].as_str().expect("an id");
    assert!(place.does(&["deliveries", "replay", id]).contains("1 is tried again"));
    target.gets(200, "unforgettable");
    place.does(&["deliveries", "replay", "--all"]);
    assert!(running.terminate().success());
    assert!(place.json(&["deliveries"])["failed"].as_array().expect("a list").is_empty());
}

#[test]
fn a_lane_that_is_parked_says_why_and_goes_on_when_told() {
    let place = Place::with(&[SECRET]);
    let target = Target::new(410);
    let hook = format!("webhook+http://127.0.0.1:{}/in?secret=env:HOOK_SECRET#main", target.port);
    let running = place.start(&["connect", &hook, "local:tea"]);
    let token = &running.tokens()[0];
    assert_eq!(running.post(&format!("/hooks/local/local/{token}"), &[], &deed("1", "for later")).status, 200);
    let parked = loop {
        let lanes = place.json(&["deliveries"])["lanes"].as_array().expect("a list").clone();
        let ours = |lane: &&serde_json::Value| lane["from"] == "tea on this Sameroom" && lane["parked"].is_string();
        if let Some(lane) = lanes.iter().find(ours) {
            break lane.clone();
        }
    };
    assert!(parked["parked"].as_str().expect("why").contains("it takes no more"), "{parked}");
    let doctor = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(!doctor.ok && doctor.out.contains("it takes no more; connect it again"), "{doctor:?}");
    let status = place.does(&["status"]);
    assert!(status.contains("needs owner") && status.contains("parked: "), "{status}");
    target.answers(200);
    let lane = parked["id"].as_str().expect("an id");
    assert!(place.does(&["deliveries", "resume", lane]).contains("1 lane goes on"));
    let lanes = place.json(&["deliveries"])["lanes"].as_array().expect("a list").clone();
    let resumed = lanes.iter().find(|other| other["id"] == parked["id"]);
    assert!(resumed.is_none_or(|lane| lane["parked"].is_null()), "{resumed:?}");
}

#[test]
fn a_backup_is_taken_while_it_runs_and_starts_elsewhere() {
    let place = Place::with(&[SECRET]);
    let hook = "webhook+http://127.0.0.1:9/hooks/chat?secret=env:HOOK_SECRET#main";
    let running = place.start(&["connect", hook, "local:tea"]);
    let copy = place.path("copy.db").display().to_string();
    let said = place.does(&["backup", &copy, "--with-key"]);
    assert!(said.contains("To restore"), "{said}");
    let key = place.path("copy.db.key");
    assert_eq!(key.metadata().expect("the key").permissions().mode() & 0o777, 0o600);
    place.run(&["backup", &copy]).refuses(&["copy.db exists already"]);
    let state = place.does(&["export"]);
    drop(running);

    let elsewhere = Place::new();
    std::fs::create_dir(elsewhere.data()).expect("made");
    std::fs::copy(&copy, elsewhere.data().join("sameroom.db")).expect("copied");
    std::fs::copy(&key, elsewhere.data().join("sameroom.key")).expect("copied");
    assert_eq!(elsewhere.does(&["export"]), state);
    // The first one was killed: its socket is still there, and is nobody's.
    assert_eq!(place.does(&["export"]), state);
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let place = Place::new();
    let fresh = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(fresh.ok && fresh.out.contains("✓ store: there is none yet"), "{fresh:?}");
    assert!(!place.data().exists(), "it changes nothing");
    let running = place.start(&[]);
    let well = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(well.ok, "{well:?}");
    for line in
        ["✓ configuration: ", "✓ data folder: ", "✓ key file: ", "✓ clock: ", "✓ disk: ", "✓ store: it is sound"]
    {
        assert!(well.out.contains(line), "{line}\n{}", well.out);
    }
    assert!(well.out.contains(&format!("✓ public URL: {} answers", running.url())), "{}", well.out);

    // Nobody listens there.
    let file = place.write(
        "net.toml",
        "[rooms]\nfar = \"irc://127.0.0.1:6660/#far\"\nnear = \"local:near\"\n[[tubes]]\nrooms = [\"far\", \"near\"]\n",
    );
    place.does(&["apply", &file]);
    let ill = place.run(&["doctor", "--listen", "127.0.0.1:0", "--json"]);
    assert!(!ill.ok, "{ill:?}");
    let checks: serde_json::Value = serde_json::from_str(&ill.out).expect("JSON");
    let far =
        checks["checks"].as_array().expect("a list").iter().find(|check| check["ok"] == false).expect("a problem");
    assert_eq!(far["name"], "account sameroom on irc://127.0.0.1:6660", "{far}");

    let config = place.write("my.toml", "listen = 1\n");
    let wrong = place.run(&["doctor", "--config", &config]);
    assert!(!wrong.ok && wrong.out.contains("✗ configuration:") && wrong.out.contains("listen"), "{wrong:?}");
}

#[test]
fn what_needs_no_data() {
    let place = Place::new();
    let table = place.does(&["platforms"]);
    for part in ["PLATFORM", "IRC", "held", "as a line", "350 bytes", "ircs://irc.libera.chat/#rust", "local:tea-room"]
    {
        assert!(table.contains(part), "{part}\n{table}");
    }
    assert!(!table.contains('\u{1b}'), "colours are for terminals");
    let all = place.json(&["platforms"]);
    assert_eq!(all[0]["capabilities"]["carrier"], "session");
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.does(&["completions", shell]).contains("deliveries"), "{shell}");
    }
    let help = place.does(&["help", "connect"]);
    assert!(help.contains("Examples:") && help.contains("env:LIBERA_PASSWORD"), "{help}");
    assert!(place.does(&["help", "apply"]).contains("[[tubes]]"));
}
