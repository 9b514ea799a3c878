//! HTTP for the clients of AWS: HTTP/1.1 over hyper, which every service here speaks, with the web's roots as bundled at
//! build time, so that a cold start reads no certificates from disk. Half of what the SDK's own client would bring
//! (HTTP/2, proxies, trust stores as PEM) is never used here, and makes a function larger and later. This file must not
//! know what is called.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connection::{CaptureSmithyConnection, ConnectionMetadata};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::retries::ErrorKind;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{CaptureConnection, HttpConnector as Tcp, capture_connection};
use hyper_util::client::legacy::{Client, Error as Failed};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use sameroom_engine::ports::Unavailable;

/// One pool of connections for all clients. `connect` is how long a connection may take.
pub(crate) fn client(connect: Duration) -> Result<SharedHttpClient, Unavailable> {
    let mut tcp = Tcp::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls()?).https_or_http().enable_http1().wrap_connector(tcp);
    let pool = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(https);
    Ok(SharedHttpClient::new(Pool(pool)))
}

fn tls() -> Result<ClientConfig, Unavailable> {
    let unusable = |e| Unavailable::new(format_args!("TLS can't be set up: {e}"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unusable)?;
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[derive(Clone, Debug)]
struct Pool(Client<HttpsConnector<Tcp>, SdkBody>);

impl HttpClient for Pool {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector { pool: self.clone(), read: settings.read_timeout() })
    }
}

/// Sends requests. `read`: how long an answer's head may take.
#[derive(Debug)]
struct Connector {
    pool: Pool,
    read: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(e) => return HttpConnectorFuture::ready(Err(ConnectorError::user(e.into()))),
        };
        // So that what answers like a server in trouble is not asked by the same connection again.
        let captured = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || connection(&captured));
        }
        let (sent, read) = (self.pool.0.request(request), self.read);
        HttpConnectorFuture::new(async move {
            let answer = match read {
                None => sent.await,
                Some(read) => tokio::time::timeout(read, sent).await.map_err(|e| ConnectorError::timeout(e.into()))?,
            };
            let answer = answer.map_err(classed)?.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(answer).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

fn connection(captured: &CaptureConnection) -> Option<ConnectionMetadata> {
    captured.connection_metadata().as_ref()?;
    let captured = captured.clone();
    let poison = move || {
        if let Some(connected) = captured.connection_metadata().as_ref() {
            connected.poison();
        }
    };
    Some(ConnectionMetadata::builder().proxied(false).poison_fn(poison).build())
}

/// Whose fault it is, which says whether it is tried again.
fn classed(e: Failed) -> ConnectorError {
    let hyper = cause::<hyper::Error>(&e);
    let is = |what: fn(&hyper::Error) -> bool| hyper.is_some_and(what);
    let io = cause::<std::io::Error>(&e);
    let late = io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) || is(hyper::Error::is_timeout);
    let class: fn(BoxError) -> ConnectorError = if late {
        ConnectorError::timeout
    } else if is(hyper::Error::is_user) {
        ConnectorError::user
    } else if e.is_connect() || io.is_some() || is(hyper::Error::is_closed) || is(hyper::Error::is_canceled) {
        ConnectorError::io
    } else if is(hyper::Error::is_incomplete_message) {
        |e| ConnectorError::other(e, Some(ErrorKind::TransientError))
    } else {
        |e| ConnectorError::other(e, None)
    };
    class(e.into())
}

/// The first of a kind among an error and its causes.
fn cause<'a, E: Error + 'static>(e: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(e), |&e| e.source()).find_map(|e| e.downcast_ref())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that reads something, says what it is given, if anything, and ends the connection, or keeps it open.
    async fn server(says: &'static str, ends: bool) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(says.as_bytes()).await;
                if !ends {
                    open.push(stream);
                }
            }
        });
        address
    }

    async fn asked(address: SocketAddr, read: Option<Duration>) -> Result<HttpResponse, ConnectorError> {
        let client = client(Duration::from_secs(1)).unwrap();
        let mut settings = HttpConnectorSettings::builder();
        settings.set_read_timeout(read);
        let components = RuntimeComponentsBuilder::for_tests().build().unwrap();
        let connector = client.http_connector(&settings.build(), &components);
        connector.call(HttpRequest::get(format!("http://{address}/")).unwrap()).await
    }

    #[tokio::test]
    async fn an_answer_comes_as_it_is() {
        let address = server("HTTP/1.1 418 Teapot\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno", false).await;
        let answer = asked(address, None).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("x-a")), (418, Some("b")));
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        assert_eq!(&body[..], b"no");
    }

    #[tokio::test]
    async fn who_is_not_there_is_asked_again() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let why = asked(address, None).await.unwrap_err();
        assert!(why.is_io(), "{why:?}");
    }

    #[tokio::test]
    async fn who_ends_the_connection_is_asked_again() {
        for says in ["", "HTTP/1.1 200 O"] {
            let why = asked(server(says, true).await, None).await.unwrap_err();
            assert!(why.is_io() || why.as_other() == Some(ErrorKind::TransientError), "{says:?}: {why:?}");
        }
    }

    #[tokio::test]
    async fn who_says_nothing_is_late() {
        let address = server("", false).await;
        let why = asked(address, Some(Duration::from_millis(50))).await.unwrap_err();
        assert!(why.is_timeout(), "{why:?}");
    }

    #[tokio::test]
    async fn who_does_not_speak_http_is_not_asked_again() {
        let why = asked(server("220 mail.example ESMTP\r\n", false).await, None).await.unwrap_err();
        assert!(!why.is_io() && !why.is_timeout() && why.as_other().is_none(), "{why:?}");
    }
}
