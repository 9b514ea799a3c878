//! A full disk (fault F9): intake is refused with 507, what was accepted stays, and work goes on once there is space.
//! Needs root, for a small file system of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::load::Rig;

/// A small file system, for as long as this lives.
struct Disk(TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let folder = TempDir::new().expect("a folder can be made");
        mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], folder.path());
        Self(folder)
    }

    fn grow(&self, size: &str) {
        mount(&["-o", &format!("remount,size={size}")], self.0.path());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the binary may still have it open when a test fails.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(options: &[&str], place: &Path) {
    let status = Command::new("mount").args(options).arg(place).status().expect("there is a mount command");
    assert!(status.success(), "mounting needs root: `tests/run crash` leaves this out without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f9_a_full_disk_refuses_and_loses_nothing() {
    let disk = Disk::new("6m");
    let mut rig = Rig::at(disk.0.path()).await;
    let sameroom = rig.setup.start().await;
    let sender = Rig::sender(&sameroom);

    // Nothing leaves, so everything has to be kept.
    rig.hook.hold(true);
    let filling = "x".repeat(15_000);
    let (mut taken, mut answer) = (0, None);
    while taken < 2_000 && answer.is_none() {
        let n = taken + 1;
        match sender.post(&format!("evt-{n}"), "Load", &format!("{n} {filling}")).await {
            Some(200..=299) => taken = n,
            Some(429) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => answer = other,
        }
    }
    assert_eq!(answer, Some(507), "after {taken} messages");

    disk.grow("64m");
    rig.hook.hold(false);
    sender.insist(&format!("evt-{}", taken + 1), "Load", &format!("{} {filling}", taken + 1)).await;
    rig.hook.hears(taken + 1, Duration::from_mins(1)).await;
    sameroom.drained(Duration::from_secs(30)).await;
    let numbers: Vec<String> =
        rig.hook.ledger().iter().map(|entry| entry.text().split(' ').next().unwrap_or_default().to_owned()).collect();
    let expected: Vec<String> = (1..=taken + 1).map(|n| n.to_string()).collect();
    assert_eq!(numbers, expected, "all that was taken, in order, once");
    println!("crash: a disk of 6 MiB was full after {taken} messages: 507, then all of them arrived in order");
}
