//! Promise 7: no words rest after delivery, in rows, files or logs. Hosted rooms, whose bounded history is what they
//! are, are left out here.

use std::io::Write;
use std::sync::{Arc, Mutex};

use sameroom_tests::worlds::{Kind, Mood, Server, Town};
use tracing_subscriber::fmt::MakeWriter;

/// Words that occur nowhere else.
const CANARY: &str = "heliotrope-quinquereme";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// In a process of its own: what is logged is decided once a process, by whichever test comes first.
#[test]
fn after_delivery_no_word_is_in_any_file_or_log() {
    let itself = std::env::current_exe().unwrap();
    let arguments = ["--ignored", "--exact", "promise_7_no_text_at_rest::the_story"];
    let ran = std::process::Command::new(itself).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above"]
async fn the_story() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let town = Town::of(Kind::Disk).await;
    let (irc, hook) = (town.irc("irc", Server::Plain).await, town.hook("hook").await);
    town.tube("irc #ops", "hook a").await;
    town.tube("hook a", "hook b").await;
    irc.is_joined("#ops").await;
    hook.script("b", [Mood::Ailing, Mood::CutAfter, Mood::Well, Mood::Ailing]);
    let key = hook.says("ann", "a", &format!("{CANARY} one")).await;
    hook.edits("ann", "a", &key, &format!("{CANARY} two")).await;
    hook.replies("bob", "a", &key, &format!("{CANARY} three")).await;
    irc.says("cy", "#ops", &format!("{CANARY} four")).await;
    hook.hears("b", "cy", &format!("{CANARY} four")).await;
    hook.deletes("a", &key).await;
    town.settled().await;
    assert!(irc.ours("#ops").iter().any(|said| said.contains(CANARY)), "it was really said");
    town.law().await;
    town.stop().await;
    town.disk.clone().unwrap().close().await.unwrap();
    drop(guard);
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("postponed"), "the log was caught: {log}");
    assert!(!log.contains(CANARY), "{}", log.lines().find(|line| line.contains(CANARY)).unwrap_or_default());
    for file in std::fs::read_dir(town.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
        assert!(!found, "{} still holds the words", path.display());
    }
}
