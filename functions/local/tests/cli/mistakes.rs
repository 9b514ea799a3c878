//! Every mistake is answered with a sentence that names it and the cure, and changes nothing.

use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use crate::world::{Place, files};

#[test]
fn wrong_words_on_the_command_line() {
    let place = Place::with(&[("EMPTY", "")]);
    for (args, says) in [
        (vec!["connect", "not a url", "local:x"], vec!["'not a url' is not a room URL", "for example: ircs://"]),
        (
            vec!["connect", "ircs://irc.example.org", "local:x"],
            vec!["names no channel", "ircs://irc.libera.chat/#rust"],
        ),
        (vec!["connect", "gopher://x.example/#y", "local:x"], vec!["no platform reads 'gopher:' URLs", "for example"]),
        (
            vec!["connect", "local:a", "local:b", "local:c"],
            vec!["two by two, and 3 were given", "add the room that local:c"],
        ),
        (vec!["connect", "local:x", "local:x"], vec!["both ends are the same room, x"]),
        (
            vec!["connect", "ircs://x.example/#a?password=env:NOT_SET", "local:x"],
            vec!["variable NOT_SET, which is not set"],
        ),
        (vec!["connect", "ircs://x.example/#a?password=env:EMPTY", "local:x"], vec!["variable EMPTY, which is empty"]),
        (
            vec!["connect", "ircs://x.example/#a?password=file:/none", "local:x"],
            vec!["file /none, which can't be read"],
        ),
        (vec!["connect", "nick:hunter2@x/#a?key=hunter2", "local:x"], vec!["nick"]),
        (vec!["serve", "--log", "[["], vec!["'[[' is not a log filter", "write for example warn"]),
        (vec!["serve", "--allow-network", "10.0.0.0/99"], vec!["'10.0.0.0/99' is not a network"]),
        (vec!["serve", "--listen", "nowhere"], vec!["nowhere"]),
        (vec!["serve", "--config", "/none.toml"], vec!["the configuration file /none.toml can't be read"]),
        (vec!["apply", "/none.toml"], vec!["the network file /none.toml can't be read"]),
        (vec!["export"], vec!["there is no Sameroom data in", "--data DIR"]),
        (vec!["status"], vec!["there is no Sameroom data in"]),
        (vec!["deliveries"], vec!["there is no Sameroom data in"]),
        (vec!["backup", "copy.db"], vec!["there is no Sameroom data in"]),
        (vec!["exprot"], vec!["unrecognized subcommand", "export"]),
    ] {
        let said = place.run(&args);
        said.refuses(&says);
        assert!(!said.err.contains("hunter2"), "{args:?}: {}", said.err);
        assert!(!place.data().exists(), "{args:?} made the data folder");
    }
}

#[test]
fn a_configuration_file_with_a_typo() {
    let place = Place::new();
    let file = place.write("my.toml", "log = \"warn\"\n[relay]\nrooms_maxx = 3\n");
    place.run(&["serve", "--config", &file]).refuses(&["my.toml is wrong", "line 3", "rooms_maxx", "rooms_max"]);
    assert!(!place.data().exists());
}

#[test]
fn a_network_file_with_mistakes() {
    let place = Place::new();
    let typo = place.write("typo.toml", "[rooms.one]\nurl = \"local:one\"\nautor = \"both\"\n");
    place.run(&["apply", &typo]).refuses(&["typo.toml is wrong, and nothing was changed", "line 3, column 1", "autor"]);
    let many = place.write(
        "many.toml",
        "[rooms]\none = \"local:one\"\ntwo = \"ircs://x.example/#two?password=hunter2\"\nthree = \
         \"ircs://x.example/#three?password=env:NOT_SET\"\n[[tubes]]\nrooms = [\"one\", \"onne\"]\n",
    );
    let said = place.run(&["apply", &many]);
    said.refuses(&[
        "line 3, column 1: room 'two': the secret 'password' stands here in plain",
        "line 4, column 1: room 'three': the secret 'password' is to come from the variable NOT_SET",
        "line 6, column 17: there is no room 'onne'; did you mean 'one'?",
    ]);
    assert!(!said.err.contains("hunter2"));
    assert!(!place.data().exists());
}

#[test]
fn a_port_that_is_in_use() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    place
        .run(&["serve", "--listen", &address])
        .refuses(&[&format!("{address} is in use"), "choose another by --listen"]);
    assert!(!place.data().exists());
}

#[test]
fn a_data_folder_that_cannot_be() {
    let place = Place::new();
    let under = format!("{}/data", place.write("file", "no folder"));
    let said = place.run(&["serve", "--listen", "127.0.0.1:0", "--data", &under]);
    said.refuses(&[&format!("the data folder {under} can't be made"), "name another by --data DIR"]);
    // Before the command or after it, a flag wins over the variable.
    let doctor = place.run(&["--data", &under, "doctor"]);
    assert!(!doctor.ok && doctor.out.contains("✗ data folder:"), "{doctor:?}");
}

#[test]
fn f64_a_database_that_is_none() {
    let place = Place::new();
    std::fs::create_dir(place.data()).expect("made");
    std::fs::write(place.data().join("sameroom.db"), "these are not the pages you are looking for".repeat(100))
        .expect("written");
    let before = files(&place.data());
    place
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .refuses(&["sameroom.db is not a Sameroom database", "move it away"]);
    let doctor = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(
        !doctor.ok && doctor.out.contains("✗ store:") && doctor.out.contains("not a Sameroom database"),
        "{doctor:?}"
    );
    assert_eq!(files(&place.data()), before);
}

#[test]
fn f64_a_database_with_damaged_pages() {
    let place = Place::new();
    assert!(place.start(&[]).terminate().success());
    let path = place.data().join("sameroom.db");
    let mut bytes = std::fs::read(&path).expect("a database");
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, &bytes).expect("written");
    place.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&[
        "sameroom.db",
        "is damaged",
        "put a backup in its place",
    ]);
    let doctor = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(!doctor.ok && doctor.out.contains("✗ store:") && doctor.out.contains("is damaged"), "{doctor:?}");
    place.run(&["export"]).refuses(&["is damaged"]);
}

#[test]
fn f64_a_key_file_of_another_installation() {
    let place = Place::with(&[("S", "a secret for signing")]);
    let file = place.write("net.toml", "[rooms]\na = \"webhook+http://127.0.0.1:9/h?secret=env:S#main\"\nb = \"local:b\"\n[[tubes]]\nrooms = [\"a\", \"b\"]\n");
    place.does(&["apply", &file]);
    let state = place.does(&["export"]);
    let key = place.data().join("sameroom.key");
    let right = std::fs::read(&key).expect("a key");
    std::fs::write(&key, [7; 32]).expect("written");
    let says =
        ["the secrets of 127.0.0.1:9/h", "is not the one this data was sealed with: put the right one in its place"];
    place.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&says);
    let doctor = place.run(&["doctor", "--listen", "127.0.0.1:0"]);
    assert!(!doctor.ok && doctor.out.contains("is not the one this data was sealed with"), "{doctor:?}");
    std::fs::write(&key, "short").expect("written");
    place
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .refuses(&["does not hold a key of 32 bytes", "put its backup in its place"]);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
    place.run(&["serve", "--listen", "127.0.0.1:0"]).refuses(&["can be read by other users", "chmod 600"]);
    std::fs::remove_file(&key).expect("removed");
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key).expect("opened");
    std::io::Write::write_all(&mut file, &right).expect("written");
    assert_eq!(place.does(&["export"]), state, "nothing was lost");
}

#[test]
fn two_on_one_data_folder() {
    let place = Place::new();
    let running = place.start(&[]);
    let said = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    said.refuses(&["is in use by another sameroom", &format!("process {}", running.pid()), "choose another folder"]);
    assert_eq!(running.raw("GET /healthz HTTP/1.0\r\n\r\n").status, 200, "the first one goes on");
}
