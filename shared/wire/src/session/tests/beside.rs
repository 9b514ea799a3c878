//! What goes beside the connection: what is told and confirmed, and what is asked.

use super::*;

#[tokio::test]
async fn what_was_told_is_confirmed_once_it_is_kept_and_in_order_with_events() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    peer.says("EVENT a\nTELL b\nEVENT c\nTELL d\n").await;
    peer.hears("GOT b").await;
    peer.hears("GOT d").await;
    let kept = stage.sink.kept.lock().unwrap().clone();
    let order: Vec<_> = kept.iter().filter(|note| note.starts_with("event") || note.starts_with("told")).collect();
    assert_eq!(order, ["event a", "told b", "event c", "told d"]);
}

#[tokio::test]
async fn nothing_is_confirmed_while_the_sink_fails_and_other_words_go_out_meanwhile() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    peer.says("TELL a\nTELL b\nPING 1\n").await;
    peer.hears("PONG 1").await;
    until(|| *stage.sink.attempts.lock().unwrap() > 2).await;
    let more = timeout(Duration::from_millis(50), peer.0.read_u8()).await;
    assert!(more.is_err(), "nothing is confirmed meanwhile");
    stage.sink.down.store(false, Ordering::SeqCst);
    peer.hears("GOT a").await;
    peer.hears("GOT b").await;
    assert_eq!(stage.sink.kept("told"), ["a", "b"]);
}

#[tokio::test]
async fn each_confirmation_goes_out_as_soon_as_what_is_before_it_is_kept() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    *stage.sink.fails_on.lock().unwrap() = "told b".into();
    peer.says("TELL a\nTELL b\n").await;
    peer.hears("GOT a").await;
    let more = timeout(Duration::from_millis(50), peer.0.read_u8()).await;
    assert!(more.is_err(), "b is not kept yet");
    stage.sink.fails_on.lock().unwrap().clear();
    peer.hears("GOT b").await;
}

#[tokio::test]
async fn what_was_heard_on_one_connection_is_not_confirmed_on_the_next() {
    let stage = Stage::new().await;
    let mut first = stage.accepts().await;
    until(|| stage.sink.kept("state") == ["Ok"]).await;
    stage.sink.down.store(true, Ordering::SeqCst);
    first.says("TELL a\nPING 1\n").await;
    first.hears("PONG 1").await;
    stage.handle.deliver(delivery("l", "reopen")).await.unwrap();
    let mut second = stage.accepts().await;
    first.hears("").await;
    stage.sink.down.store(false, Ordering::SeqCst);
    second.says("TELL b\nPING 2\n").await;
    // The answer to what came later is the first word: nothing was said about what the first connection told.
    let words = [second.next().await, second.next().await];
    assert!(words.contains(&"GOT b".into()) && words.contains(&"PONG 2".into()), "{words:?}");
    assert_eq!(stage.sink.kept("told"), ["a", "b"], "but it is kept");
}

#[tokio::test]
async fn a_request_is_answered_beside_the_connection() {
    let asked = server(|number, mut stream| async move {
        let mut lines = BufReader::new(&mut stream).lines();
        let first = lines.next_line().await.unwrap().unwrap();
        while !lines.next_line().await.unwrap().unwrap_or_default().is_empty() {}
        let body = format!("{number} {first}");
        let head = format!("HTTP/1.1 418 Teapot\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    })
    .await;
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    peer.says(&format!("ASK http://{asked}/open?a=b\nPING 1\n")).await;
    peer.hears("PONG 1").await;
    peer.hears("ANSWER 418 1 GET /open?a=b HTTP/1.1").await;
    peer.says(&format!("ASK http://{asked}/again\n")).await;
    peer.hears("ANSWER 418 2 GET /again HTTP/1.1").await;
}

#[tokio::test]
async fn a_request_without_answer_is_told_without_its_secrets_and_is_guarded() {
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    let nobody = closed_port().await;
    peer.says(&format!("ASK http://{nobody}/open?secret=1\n")).await;
    peer.hears(&format!("NO ANSWER {nobody}: the connection was refused")).await;
    peer.says("ASK http://10.0.0.1/open?secret=1\n").await;
    let why = peer.next().await;
    assert!(why.starts_with("NO ANSWER 10.0.0.1 is a private address, which is not allowed"), "{why}");
}

#[tokio::test]
async fn an_answer_that_comes_after_the_stop_is_nobodys() {
    let (asked, mut was_asked) = mpsc::channel(1);
    let (answer, answered) = watch::channel(false);
    let address = server(move |_, mut stream| {
        let (asked, mut answered) = (asked.clone(), answered.clone());
        async move {
            stream.read_u8().await.unwrap();
            asked.send(()).await.unwrap();
            answered.wait_for(|answered| *answered).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        }
    })
    .await;
    let stage = Stage::new().await;
    let mut peer = stage.accepts().await;
    peer.says(&format!("ASK http://{address}/\n")).await;
    was_asked.recv().await.unwrap();
    let handle = stage.handle.clone();
    let stop = tokio::spawn(async move { handle.stop().await });
    peer.hears("QUIT").await;
    answer.send_replace(true);
    peer.hears("").await;
    drop(peer);
    assert_eq!(timeout(SOON, stop).await.unwrap().unwrap(), Ended::Stopped);
}
