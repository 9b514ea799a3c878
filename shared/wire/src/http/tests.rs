use std::sync::{LazyLock, Mutex as StdMutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::testing::{Script, TestCa, closed_port, loopback, nets, server};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn client(guard: Arc<Guard>, limits: Limits) -> HttpClient {
    // Reading the system's roots takes its time without optimisation; once is enough.
    static TRUST: LazyLock<Arc<Trust>> = LazyLock::new(Arc::default);
    HttpClient::new(guard, Arc::clone(&TRUST), limits)
}

fn small() -> Limits {
    Limits { body: 1000, ..Limits::default() }
}

fn quick() -> Limits {
    Limits { whole: Duration::from_millis(300), ..small() }
}

fn post(url: &str) -> http::Request<Bytes> {
    http::Request::post(url).header("Authorization", "Bearer secret").body(Bytes::from_static(b"words")).unwrap()
}

/// Reads one request with a body of five bytes; `None` once the connection ends.
async fn request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut got = Vec::new();
    while !got.ends_with(b"\r\n\r\nwords") {
        if stream.read_buf(&mut got).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(got).ok()
}

/// Answers every request of every connection alike.
async fn answers(answer: impl Into<Vec<u8>>) -> String {
    let answer: Vec<u8> = answer.into();
    let address = server(move |_, mut stream| {
        let answer = answer.clone();
        async move {
            while request(&mut stream).await.is_some() {
                if stream.write_all(&answer).await.is_err() {
                    break;
                }
            }
        }
    })
    .await;
    format!("http://{address}/path?token=secret")
}

#[tokio::test]
async fn a_request_goes_out_as_given_and_the_answer_comes_back_whole() {
    let seen = Arc::new(StdMutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let address = server(move |number, mut stream: TcpStream| {
        let log = Arc::clone(&log);
        async move {
            while let Some(request) = request(&mut stream).await {
                log.lock().unwrap().push((number, request));
                stream.write_all(b"HTTP/1.1 201 Created\r\nX-Key: 7\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
            }
        }
    })
    .await;
    let client = client(loopback(), Limits::default());
    for _ in 0..2 {
        let answer = client.send(post(&format!("http://{address}/a?b=c%20d"))).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (201, &b"hi"[..]));
        assert_eq!(answer.headers()["x-key"], "7");
    }
    let seen = seen.lock().unwrap();
    let numbers: Vec<_> = seen.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 1], "the second request goes by the same connection");
    let mut lines: Vec<_> = seen[0].1.split("\r\n").map(|line| line.replace(&address.to_string(), "SITE")).collect();
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "POST /a?b=c%20d HTTP/1.1",
            "",
            "accept: */*",
            "authorization: Bearer secret",
            "content-length: 5",
            "host: SITE",
            &format!("user-agent: {USER_AGENT}"),
            "words",
        ]
    );
}

#[tokio::test]
async fn t19_a_redirect_is_not_followed() {
    let url = answers("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client(loopback(), small()).send(post(&url)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["location"].as_bytes()),
        (302, &b"http://169.254.169.254/"[..])
    );
}

#[tokio::test]
async fn a_compressed_body_is_left_alone() {
    let url = answers("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nzip").await;
    let answer = client(loopback(), small()).send(post(&url)).await.unwrap();
    assert_eq!(&answer.body()[..], b"zip");
}

async fn fails(url: &str) -> NoAnswer {
    fails_within(url, small()).await
}

async fn fails_within(url: &str, limits: Limits) -> NoAnswer {
    let error = client(loopback(), limits).send(post(url)).await.unwrap_err();
    let words = error.to_string();
    for secret in ["secret", "token", "words", "path"] {
        assert!(!words.contains(secret), "{words}");
    }
    let site = Url::parse(url).unwrap();
    let site = site.port().map_or_else(String::new, |port| port.to_string());
    match error {
        NoAnswer::Broken(why) => NoAnswer::Broken(why.replace(&site, "PORT")),
        NoAnswer::Unreachable(why) => NoAnswer::Unreachable(why.replace(&site, "PORT")),
        NoAnswer::Forbidden(why) => NoAnswer::Forbidden(why),
    }
}

fn broken(why: &str) -> NoAnswer {
    NoAnswer::Broken(why.into())
}

fn unreachable(why: &str) -> NoAnswer {
    NoAnswer::Unreachable(why.into())
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    let declared = answers("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n").await;
    assert_eq!(fails(&declared).await, broken("127.0.0.1:PORT: its answer is longer than 1000 bytes"));

    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 100]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let error = fails(&format!("http://{address}/path?token=secret")).await;
    assert_eq!(error, broken("127.0.0.1:PORT: its answer is longer than 1000 bytes"));

    let mut just = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec();
    just.extend([b'x'; 1000]);
    let answer = client(loopback(), small()).send(post(&answers(just).await)).await.unwrap();
    assert_eq!(answer.body().len(), 1000);
}

#[tokio::test]
async fn no_answer_or_half_of_one_in_time_is_broken() {
    let late = broken("127.0.0.1:PORT: no whole answer within 0.3 s");
    assert_eq!(fails_within(&answers("").await, quick()).await, late);
    let half = answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal").await;
    assert_eq!(fails_within(&half, quick()).await, late);
}

#[tokio::test]
async fn a_long_request_has_the_time_that_its_length_takes() {
    // Takes 20 MiB within a second or so: more than the time for a short request.
    let address = server(|_, mut stream| async move {
        let (mut left, mut buffer) = (20 << 20, vec![0; 1 << 20]);
        while left > 0 {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            left -= count.min(left);
            if left < 1 << 20 {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = stream.write_all(OK).await;
    })
    .await;
    let long = || http::Request::post(format!("http://{address}/")).body(Bytes::from(vec![b'x'; 20 << 20])).unwrap();
    let answer = client(loopback(), Limits { upload: 1 << 20, ..quick() }).send(long()).await.unwrap();
    assert_eq!(&answer.body()[..], b"hi");
    let error = client(loopback(), Limits { upload: 1 << 30, ..quick() }).send(long()).await.unwrap_err();
    assert!(error.to_string().contains("no whole answer within 0.3"), "{error}");
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_broken() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert_eq!(
        fails(&format!("http://{address}/path?token=secret")).await,
        broken("127.0.0.1:PORT: the connection was reset")
    );
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    assert_eq!(
        fails(&format!("http://{address}/path?token=secret")).await,
        broken("127.0.0.1:PORT: connection closed before message completed")
    );
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal").await;
    })
    .await;
    assert!(matches!(fails(&format!("http://{address}/path?token=secret")).await, NoAnswer::Broken(_)));
    assert!(matches!(fails(&answers("SSH-2.0-OpenSSH_9.9\r\n").await).await, NoAnswer::Broken(_)));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let address = closed_port().await;
    assert_eq!(
        fails(&format!("http://{address}/path?token=secret")).await,
        unreachable("127.0.0.1:PORT: the connection was refused")
    );
    let guard = Guard::with_lookup(Vec::new(), Script::default());
    let error = client(Arc::new(guard), small()).send(post("http://nowhere.example/x?token=1")).await.unwrap_err();
    assert_eq!(error, unreachable("nowhere.example can't be resolved: no such name"));
}

#[tokio::test]
async fn t19_forbidden_addresses_are_refused_in_every_spelling() {
    let client = client(Arc::new(Guard::new(Vec::new())), small());
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "localhost.",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "0",
    ] {
        let error = client.send(post(&format!("http://{host}:8080/"))).await.unwrap_err();
        // Not every machine's resolver knows the name with a dot.
        assert!(matches!(error, NoAnswer::Forbidden(_)) || host == "localhost.", "{host}: {error:?}");
    }
    for url in ["http://example.com:22/", "https://example.com:21/", "http://example.com:0/", "ftp://example.com/"] {
        let error = client.send(post(url)).await.unwrap_err();
        assert!(matches!(error, NoAnswer::Forbidden(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn t19_a_name_that_rebinds_is_looked_up_once_for_each_connection_and_checked() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").await;
    })
    .await;
    // The first answer is allowed; the second, a moment later, is not.
    let script = Script::new("rebinds.example", &["127.0.0.1", "169.254.169.254"]);
    let client = client(Arc::new(Guard::with_lookup(nets("loopback"), script.clone())), small());
    let url = format!("http://rebinds.example:{}/", address.port());
    assert_eq!(&client.send(post(&url)).await.unwrap().body()[..], b"hi");
    assert_eq!(script.calls.load(std::sync::atomic::Ordering::Relaxed), 1, "no second lookup");
    assert_eq!(
        client.send(post(&url)).await.unwrap_err(),
        NoAnswer::Forbidden(
            "rebinds.example leads to a link-local address, which is not allowed; the operator can allow its network"
                .into()
        )
    );
}

#[tokio::test]
async fn a_kept_connection_that_the_site_has_closed_is_not_used_again() {
    let address = server(|_, mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(OK).await;
    })
    .await;
    let client = client(loopback(), small());
    for _ in 0..5 {
        assert!(client.send(post(&format!("http://{address}/"))).await.is_ok());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn requests_to_one_site_are_bounded_and_the_rest_wait_their_turn() {
    let (now, most) = (Arc::new(StdMutex::new((0, 0))), Arc::new(StdMutex::new(0)));
    let (count, peak) = (Arc::clone(&now), Arc::clone(&most));
    let address = server(move |_, mut stream| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        async move {
            while request(&mut stream).await.is_some() {
                let under_way = {
                    let mut count = count.lock().unwrap();
                    count.0 += 1;
                    count.0
                };
                {
                    let mut peak = peak.lock().unwrap();
                    *peak = under_way.max(*peak);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                count.lock().unwrap().0 -= 1;
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let client = client(loopback(), Limits { per_site: 3, ..Limits::default() });
    let url = format!("http://{address}/");
    let all = (0..12).map(|_| client.send(post(&url)));
    assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
    assert_eq!(*most.lock().unwrap(), 3);
}

#[tokio::test]
async fn a_site_that_takes_all_turns_is_unreachable_for_the_rest() {
    let url = answers(OK).await;
    let client = client(loopback(), Limits { per_site: 1, whole: Duration::from_secs(1), ..small() });
    let turns = client.turns(url.trim_start_matches("http://").split('/').next().unwrap());
    let taken = turns.acquire().await.unwrap();
    let error = client.send(post(&url)).await.unwrap_err();
    assert!(matches!(&error, NoAnswer::Unreachable(why) if why.contains("too many requests")), "{error:?}");
    drop(taken);
    assert!(client.send(post(&url)).await.is_ok());
}

#[tokio::test]
async fn f56_tls_is_verified_by_ca_and_name() {
    let ca = TestCa::new();
    let acceptor = ca.server("good.example", false);
    let ca = ca.pem();
    let address = server(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let port = address.port();
    let trusting = |host: &str, ca: Option<&str>| {
        let guard = Guard::with_lookup(nets("loopback"), Script::new(host, &["127.0.0.1"]));
        let trust = Trust::new(ca.map(str::as_bytes)).unwrap();
        HttpClient::new(Arc::new(guard), Arc::new(trust), Limits::default())
    };
    let good = format!("https://good.example:{port}/");
    assert_eq!(&trusting("good.example", Some(&ca)).send(post(&good)).await.unwrap().body()[..], b"hi");
    assert_eq!(
        trusting("good.example", None).send(post(&good)).await.unwrap_err(),
        unreachable(&format!(
            "good.example:{port}: its certificate is from an issuer that is not trusted here; \
             the operator can trust a CA file"
        ))
    );
    let bad = format!("https://bad.example:{port}/");
    assert_eq!(
        trusting("bad.example", Some(&ca)).send(post(&bad)).await.unwrap_err(),
        unreachable(&format!("bad.example:{port}: its certificate is for another name"))
    );
    let plain = server(|_, mut stream: TcpStream| async move {
        let _ = stream.write_all(b"220 hello\r\n").await;
        let _ = stream.read_u8().await;
    })
    .await;
    let error = trusting("x", None).send(post(&format!("https://{plain}/"))).await.unwrap_err();
    assert!(error.to_string().ends_with("it does not speak TLS on that port"), "{error}");
}
