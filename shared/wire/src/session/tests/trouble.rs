//! What becomes of a session when the store, the server, the code or the operator ends it or holds it up.

use super::*;

#[tokio::test]
async fn a_sink_that_fails_loses_nothing_and_stops_the_reading_but_not_the_writing() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    peer.says("EVENT a\nPING 1\n").await;
    peer.hears("PONG 1").await;
    until(|| *stage.sink.attempts.lock().unwrap() > 2).await;

    peer.says("EVENT b\nPING 2\n").await;
    drop(stage.handle.deliver(delivery("l", "d")));
    peer.hears("SAY d").await;
    let more = timeout(Duration::from_millis(50), peer.0.read_u8()).await;
    assert!(more.is_err(), "nothing is read meanwhile");
    assert!(stage.sink.kept("event").is_empty());

    stage.sink.down.store(false, Ordering::SeqCst);
    peer.hears("PONG 2").await;
    until(|| stage.sink.kept("seen").last().is_some_and(|mark| mark == "room b")).await;
    assert_eq!(stage.sink.kept("event"), ["a", "b"]);
}

#[tokio::test]
async fn a_server_that_does_not_read_is_still_read() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    // More pongs than any socket buffer holds, and nobody takes them.
    let long = "x".repeat(4000);
    let pings = format!("PING {long}\n").repeat(700);
    timeout(SOON, peer.says(&pings)).await.expect("all is read");
    peer.says("EVENT last\n").await;
    until(|| stage.sink.kept("event") == ["last"]).await;
    for _ in 0..700 {
        peer.hears(&format!("PONG {long}")).await;
    }
}

#[tokio::test]
async fn f63_stop_settles_what_waits_keeps_what_was_told_and_says_goodbye() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    let waiting = stage.handle.deliver(delivery("l", "d"));
    peer.hears("SAY d").await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    peer.says("EVENT a\nPING 1\n").await;
    peer.hears("PONG 1").await;

    let handle = stage.handle.clone();
    let stop = tokio::spawn(async move { handle.stop().await });
    assert_eq!(waiting.await.unwrap(), Outcome::retry("stopping"));
    peer.hears("QUIT").await;
    peer.hears("").await;
    drop(peer);
    let late = stage.handle.deliver(delivery("l", "late")).await.unwrap();
    assert!(matches!(late, Outcome::Retry { sent: Sent::Unreachable, .. }));
    assert!(!stop.is_finished(), "the event is not kept yet");
    stage.sink.down.store(false, Ordering::SeqCst);
    assert_eq!(timeout(SOON, stop).await.unwrap().unwrap(), Ended::Stopped);
    assert_eq!(stage.sink.kept("event"), ["a"]);
    assert_eq!(stage.handle.ended().await, Ended::Stopped);
}

#[tokio::test]
async fn dropping_all_handles_stops_it_and_one_that_has_no_rooms_yet_stops_too() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    drop(stage.handle);
    peer.hears("QUIT").await;

    let handle = start(Toy::new("127.0.0.1", 1, None), Arc::default(), dialer());
    let waiting = handle.deliver(delivery("l", "d"));
    assert_eq!(timeout(SOON, handle.stop()).await.unwrap(), Ended::Stopped);
    assert!(matches!(waiting.await.unwrap(), Outcome::Retry { sent: Sent::No, .. }));
}

#[tokio::test]
async fn a_panic_ends_the_session_and_nothing_else() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    let waiting = stage.handle.deliver(delivery("l", "d"));
    peer.hears("SAY d").await;
    peer.says("EVENT a\nBOOM secret words\n").await;
    assert!(waiting.await.is_err(), "nobody knows what became of it");
    assert_eq!(timeout(SOON, stage.handle.ended()).await.unwrap(), Ended::Panicked);
    assert_eq!(stage.sink.kept("state").last().unwrap(), "Trouble(\"it failed by a fault of ours; starting again\")");
}

#[tokio::test]
async fn a_full_queue_turns_away_in_order() {
    let stage = Stage::new().await;
    // Without a turn for the session in between, the queue fills.
    let first: Vec<_> = (0..QUEUE).map(|n| stage.handle.deliver(delivery("l", &format!("d{n}")))).collect();
    let over = stage.handle.deliver(delivery("l", "over")).await.unwrap();
    assert!(matches!(over, Outcome::Retry { sent: Sent::No, .. }), "{over:?}");
    let mut peer = stage.accepts().await;
    for n in 0..QUEUE {
        peer.hears(&format!("SAY d{n}")).await;
    }
    // There is room again, but the one that was turned away comes first.
    let later = stage.handle.deliver(delivery("l", "later")).await.unwrap();
    assert!(matches!(later, Outcome::Retry { sent: Sent::No, .. }), "{later:?}");
    drop(stage.handle.deliver(delivery("other lane", "other")));
    drop(stage.handle.deliver(delivery("l", "over")));
    drop(stage.handle.deliver(delivery("l", "later")));
    for id in ["other", "over", "later"] {
        peer.hears(&format!("SAY {id}")).await;
    }
    drop(first);
}
