//! A session with more than one connection.

use super::*;

#[tokio::test]
async fn each_connection_is_answered_by_itself_and_ends_by_itself() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("SECOND\n").await;
    let mut second = stage.accepts_second().await;
    first.says("PING").await;
    second.says("PING b\n").await;
    second.hears("PONG b").await;
    first.says(" a\n").await;
    first.hears("PONG a").await;
    second.says("TELL c\n").await;
    second.hears("GOT c").await;
    first.says("END SECOND\nPING d\n").await;
    first.hears("PONG d").await;
    second.hears("").await;
    first.says("PING e\n").await;
    first.hears("PONG e").await;
}

#[tokio::test]
async fn the_end_of_one_leaves_the_others_and_is_told_with_its_id() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("SECOND\n").await;
    drop(stage.accepts_second().await);
    until(|| stage.sink.kept("event") == ["second closed"]).await;
    first.says("PING a\n").await;
    first.hears("PONG a").await;
    // And once more, under the same id.
    first.says("SECOND\n").await;
    let mut second = stage.accepts_second().await;
    second.says("PING b\n").await;
    second.hears("PONG b").await;
}

#[tokio::test]
async fn what_was_told_by_one_is_never_confirmed_to_another_or_to_its_successor() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("SECOND\n").await;
    let mut second = stage.accepts_second().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    second.says("TELL a\nPING 1\n").await;
    second.hears("PONG 1").await;
    // Nothing is read while something is to be kept: it is the session itself that opens the other anew.
    stage.handle.deliver(delivery("l", "second")).await.unwrap();
    let mut third = stage.accepts_second().await;
    second.hears("").await;
    stage.sink.down.store(false, Ordering::SeqCst);
    third.says("PING 2\n").await;
    third.hears("PONG 2").await;
    first.says("PING 3\n").await;
    first.hears("PONG 3").await;
    assert_eq!(stage.sink.kept("told"), ["a"]);
}

#[tokio::test]
async fn one_that_talks_without_end_keeps_none_of_the_others_waiting() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("SECOND\n").await;
    let mut second = stage.accepts_second().await;
    let (reading, mut writing) = first.0.into_inner().into_split();
    let babble = tokio::spawn(async move { while writing.write_all(&b"SEEN x\n".repeat(4096)).await.is_ok() {} });
    sleep(Duration::from_millis(50)).await;
    for n in 0..20 {
        second.says(&format!("PING {n}\n")).await;
        second.hears(&format!("PONG {n}")).await;
    }
    babble.abort();
    drop(reading);
}
