//! What a session says and hears, and when.

use super::*;

#[tokio::test]
async fn lines_cut_anywhere_become_events_and_answers() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    for piece in ["EV", "ENT a\nEVENT", " b\nPING x\nPI", "NG", " y", "\n", "EVENT c\n"] {
        peer.says(piece).await;
        sleep(Duration::from_millis(3)).await;
    }
    peer.hears("PONG x").await;
    peer.hears("PONG y").await;
    until(|| stage.sink.kept("seen").last().is_some_and(|mark| mark == "room c")).await;
    assert_eq!(stage.sink.kept("event"), ["a", "b", "c"]);
    assert_eq!(stage.sink.kept("state"), ["Ok"]);
}

#[tokio::test]
async fn deliveries_are_written_in_order_and_settled_by_the_answers() {
    let stage = Stage::new().await;
    // Handed over before there is a connection.
    let early = stage.handle.deliver(delivery("l", "d0"));
    let mut peer = stage.accepts().await;
    peer.hears("SAY d0").await;
    let later: Vec<_> = (1..100).map(|n| stage.handle.deliver(delivery("l", &format!("d{n}")))).collect();
    let twice = stage.handle.deliver(delivery("l", "d0"));
    for n in 1..100 {
        peer.hears(&format!("SAY d{n}")).await;
    }
    peer.says("OK d0\n").await;
    assert_eq!(early.await.unwrap(), Outcome::Done { keys: vec!["d0".into()] });
    assert_eq!(twice.await.unwrap(), Outcome::Done { keys: vec!["d0".into()] }, "the same delivery was said once");
    for (n, outcome) in (1..100).zip(later) {
        peer.says(&format!("OK d{n}\n")).await;
        assert_eq!(outcome.await.unwrap(), Outcome::Done { keys: vec![format!("d{n}").into()] });
    }
}

#[tokio::test]
async fn rooms_come_before_a_delivery_that_was_handed_over_after_them() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    for n in 0..50 {
        stage.handle.rooms(vec![joined("one"), joined(&format!("r{n}"))]);
        drop(stage.handle.deliver(delivery("l", &format!("d{n}"))));
        peer.hears(&format!("ROOMS one,r{n}")).await;
        peer.hears(&format!("SAY d{n}")).await;
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_and_another_one_opened() {
    let stage = Stage::new().await;
    let peer = stage.accepts().await;
    drop(peer);
    let mut peer = stage.accepts().await;
    peer.says("EVENT a\n").await;
    until(|| stage.sink.kept("event") == ["a"]).await;
    let states = stage.sink.kept("state");
    assert_eq!(states[1], "Trouble(\"the other side closed the connection\")");
    assert_eq!(states.last().unwrap(), "Ok");
}

#[tokio::test]
async fn the_session_itself_closes_and_opens() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    first.says("PING x\nBYE\n").await;
    let mut second = stage.accepts().await;
    first.hears("PONG x").await;
    assert_eq!(first.next().await, "", "what was written came through, then the end");
    second.says("EVENT a\n").await;
    until(|| stage.sink.kept("event") == ["a"]).await;
    assert_eq!(stage.sink.kept("state"), ["Ok", "Ok"], "its own closing is no trouble");
}

#[tokio::test]
async fn what_the_server_said_last_is_read_even_if_writing_fails() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    peer.says("EVENT killed\n").await;
    drop(peer);
    for n in 0..20 {
        drop(stage.handle.deliver(delivery("l", &format!("d{n}"))));
    }
    until(|| stage.sink.kept("event") == ["killed"]).await;
}

#[tokio::test]
async fn timers_fire_when_asked_and_not_before() {
    let stage = Stage::with(|toy| toy.tick = Some(Duration::from_millis(30))).await;
    let began = tokio::time::Instant::now();
    let mut peer = stage.accepts().await;
    for _ in 0..3 {
        peer.hears("TICK").await;
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(85)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn f46_time_never_goes_back_and_follows_a_machine_that_slept() {
    let clock = wall();
    let start = clock.now();
    let mut steady = steady::Steady::new(Arc::clone(&clock) as Arc<dyn Clock>);
    let timer = steady.instant(start + Duration::from_mins(1));
    tokio::time::advance(Duration::from_secs(10)).await;
    *clock.0.lock().unwrap() = start - Duration::from_mins(10);
    steady.catch_up();
    assert_eq!(steady.now(), start + Duration::from_secs(10));
    assert_eq!(steady.instant(start + Duration::from_mins(1)), timer);
    *clock.0.lock().unwrap() = start + Duration::from_hours(1);
    steady.catch_up();
    assert_eq!(steady.now(), start + Duration::from_hours(1));
    assert!(steady.instant(start + Duration::from_mins(1)) <= tokio::time::Instant::now());
    assert!(steady.instant(Timestamp::MAX) > tokio::time::Instant::now());
}

#[tokio::test]
async fn f36_the_same_rooms_told_again_are_no_news() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    // As a supervisor does at every look, with other marks each time.
    for mark in ["m1", "m2"] {
        stage.handle.rooms(vec![Joined { seen: Some(mark.into()), ..joined("one") }]);
        sleep(Duration::from_millis(20)).await;
    }
    stage.handle.rooms(vec![joined("one"), joined("two")]);
    peer.hears("ROOMS one,two").await;
}
