//! Files from servers that behave, and from those that do not: redirects, sizes, secrets that must stay where they are.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::testing::{Script, TestCa, loopback, nets, server};
use crate::{Guard, Limits, Trust};

fn client(guard: Guard) -> HttpClient {
    // Reading the system's roots takes its time without optimisation; once is enough.
    static TRUST: LazyLock<Arc<Trust>> = LazyLock::new(Arc::default);
    HttpClient::new(Arc::new(guard), Arc::clone(&TRUST), Limits { body: 1000, ..Limits::default() })
}

fn near() -> HttpClient {
    client(Guard::new(nets("loopback")))
}

fn get(url: &str) -> http::Request<Bytes> {
    http::Request::get(url)
        .header("Authorization", "Bearer secret")
        .header("Cookie", "d=secret")
        .header("Range", "bytes=0-")
        .body(Bytes::new())
        .unwrap()
}

/// Serves each path with what `answer` says, one answer a connection, and notes the heads of requests.
async fn site(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> (u16, Arc<Mutex<Vec<String>>>) {
    let (heads, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
    let log = Arc::clone(&heads);
    let address = server(move |_, mut stream| {
        let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            log.lock().unwrap().push(head);
            let _ = stream.write_all(&answer(&path)).await;
        }
    })
    .await;
    (address.port(), heads)
}

fn file(bytes: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + bytes, b'x');
    answer
}

fn moved(status: u16, to: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} Moved\r\nConnection: close\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
    head.into_bytes()
}

#[tokio::test]
async fn a_file_may_be_longer_than_an_answer_but_not_than_was_asked_for() {
    let (port, _) = site(|_| file(3 << 20)).await;
    let near = near();
    let url = format!("http://127.0.0.1:{port}/path?token=secret");
    let answer = download(&near, &near, get(&url), 3 << 20).await.unwrap();
    assert_eq!(answer.body().len(), 3 << 20);
    assert!(answer.body().iter().all(|byte| *byte == b'x'));
    let why = format!("127.0.0.1:{port}: its answer is longer than 3145727 bytes");
    assert_eq!(download(&near, &near, get(&url), (3 << 20) - 1).await.unwrap_err(), NoAnswer::Broken(why));
    assert!(matches!(near.send(get(&url)).await.unwrap_err(), NoAnswer::Broken(_)), "as an answer it is too long");
}

#[tokio::test]
async fn redirects_within_a_site_keep_the_headers_and_four_are_too_many() {
    let (port, heads) = site(|path| match path.trim_start_matches('/').split('?').next() {
        Some("1") => moved(302, "2?token=secret"),
        Some("2") => moved(307, "/3"),
        Some("3") => moved(301, "4"),
        Some("4") => file(4),
        _ => moved(302, "1"),
    })
    .await;
    let near = near();
    let answer = download(&near, &near, get(&format!("http://127.0.0.1:{port}/1")), 10).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 4));
    for head in std::mem::take(&mut *heads.lock().unwrap()) {
        assert!(head.contains("\r\nauthorization: bearer secret\r\n"), "{head}");
    }
    let error = download(&near, &near, get(&format!("http://127.0.0.1:{port}/0")), 10).await.unwrap_err();
    assert_eq!(error, NoAnswer::Broken("127.0.0.1: we are sent on more than 3 times".into()));
    assert_eq!(heads.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn t19_what_proves_who_we_are_does_not_go_to_another_site() {
    let (there, heads) = site(|_| file(4)).await;
    let (here, _) = site(move |_| moved(302, &format!("http://127.0.0.1:{there}/x"))).await;
    let near = near();
    let answer = download(&near, &near, get(&format!("http://127.0.0.1:{here}/")), 10).await.unwrap();
    assert_eq!(answer.body().len(), 4);
    let heads = heads.lock().unwrap();
    assert!(!heads[0].contains("secret"), "{}", heads[0]);
    assert!(heads[0].contains("\r\nrange: bytes=0-\r\n") && heads[0].contains(&format!("\r\nhost: 127.0.0.1:{there}")));
}

#[tokio::test]
async fn t19_a_redirect_passes_the_guard_even_for_an_account_that_is_trusted() {
    let (there, heads) = site(|_| file(4)).await;
    let (here, _) = site(move |path| match path {
        "/metadata" => moved(302, "http://169.254.169.254/latest?token=secret"),
        "/name" => moved(302, &format!("http://inside.example:{there}/?token=secret")),
        "/port" => moved(302, "http://127.0.0.1:22/?token=secret"),
        "/scheme" => moved(302, "ftp://127.0.0.1/?token=secret"),
        "/nowhere" => b"HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        _ => moved(302, &format!("http://127.0.0.1:{there}/?token=secret")),
    })
    .await;
    let trusted = client(Guard::new(nets("0.0.0.0/0 ::/0")));
    let guarded = client(Guard::with_lookup(Vec::new(), Script::new("inside.example", &["127.0.0.1"])));
    for path in ["metadata", "name", "port", "scheme", "nowhere", "other"] {
        let request = get(&format!("http://127.0.0.1:{here}/{path}"));
        let error = download(&trusted, &guarded, request, 10).await.unwrap_err();
        assert!(matches!(error, NoAnswer::Forbidden(_)) || path == "nowhere", "{path}: {error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(heads.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_does_not_lead_from_https_to_http() {
    let ca = TestCa::new();
    let acceptor = ca.server("files.example", false);
    let address = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = stream.read(&mut [0; 4000]).await;
            let _ = stream.write_all(&moved(302, "http://files.example/")).await;
        }
    })
    .await;
    let guard = Guard::with_lookup(nets("loopback"), Script::new("files.example", &["127.0.0.1"]));
    let trust = Trust::new(Some(ca.pem().as_bytes())).unwrap();
    let client = HttpClient::new(Arc::new(guard), Arc::new(trust), Limits::default());
    let request = get(&format!("https://files.example:{}/", address.port()));
    assert_eq!(
        download(&client, &client, request, 10).await.unwrap_err(),
        NoAnswer::Forbidden("files.example: it sends us on from https to http".into())
    );
}

#[tokio::test]
async fn a_post_is_not_sent_on() {
    let (port, heads) = site(|_| moved(307, "/again")).await;
    let request = http::Request::post(format!("http://127.0.0.1:{port}/")).body(Bytes::new()).unwrap();
    let near = near();
    assert_eq!(download(&near, &near, request, 10).await.unwrap().status().as_u16(), 307);
    assert_eq!(heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn all_of_a_download_has_its_time_and_no_more() {
    let (port, _) = site(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal".to_vec()).await;
    let hangs = server(|_, mut stream| async move {
        let _ = stream.read(&mut [0; 4000]).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal").await;
        while stream.read(&mut [0; 100]).await.is_ok_and(|count| count > 0) {}
    })
    .await;
    let limits = Limits { whole: Duration::ZERO, download: Duration::from_millis(200), ..Limits::default() };
    let client = HttpClient::new(loopback(), Arc::default(), limits);
    let error = download(&client, &client, get(&format!("http://{hangs}/")), 10).await.unwrap_err();
    assert_eq!(error, NoAnswer::Broken(format!("{hangs}: no whole answer within 0.2 s")));
    let error = download(&client, &client, get(&format!("http://127.0.0.1:{port}/")), 10).await.unwrap_err();
    assert!(matches!(error, NoAnswer::Broken(_)), "{error:?}");
}
