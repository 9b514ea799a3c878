//! One HTTP request out, one whole answer in, within limits of time, size and address. What is asked, of whom and why
//! is not known here; errors name the site and the cause, never a path, a query, a header or a body.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sameroom_engine::ports::NoAnswer;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::causes::cause;
use crate::guard::Denied;
use crate::{Guard, Trust};

/// How we call ourselves in requests that do not say otherwise.
pub const USER_AGENT: &str = concat!("Sameroom/", env!("CARGO_PKG_VERSION"), " (+", env!("CARGO_PKG_REPOSITORY"), ")");

/// How many sites are remembered before those that are idle are forgotten.
const SITES: usize = 1024;

/// How many bytes are made room for when an answer declares that it is long.
const RESERVED: u64 = 1 << 20;

/// The limits of an [`HttpClient`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// For name, connection and TLS handshake.
    pub connect: Duration,
    /// For all of it: waiting for a turn, connecting, and the answer to its last byte; but a request's body has more
    /// time, by [`Limits::upload`].
    pub whole: Duration,
    /// Bytes a second at which a request's body has to be taken at least.
    pub upload: usize,
    /// For a whole download with its redirects, in place of [`Limits::whole`].
    pub download: Duration,
    /// Bytes of an answer's body.
    pub body: usize,
    /// Requests under way to one host and port; more wait, within [`Limits::whole`].
    pub per_site: usize,
    /// Idle connections kept to one host and port.
    pub idle_per_site: usize,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Whether to go through the proxy that the environment names (`HTTPS_PROXY` and so on). A proxy resolves names by
    /// itself, so it has to guard addresses as well; its own address has to be allowed like any other.
    pub proxy_from_env: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(15),
            upload: 256 << 10,
            download: Duration::from_mins(1),
            body: 1 << 20,
            per_site: 32,
            idle_per_site: 8,
            idle: Duration::from_mins(1),
            proxy_from_env: false,
        }
    }
}

/// What one exchange is bounded by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    deadline: Instant,
    /// All the time that there was, for the words that say that it is over.
    whole: Duration,
    body: usize,
}

/// Sends HTTP requests. HTTP/1.1; follows no redirect, unpacks no compressed body, tries nothing twice.
#[derive(Debug)]
pub struct HttpClient {
    guard: Arc<Guard>,
    trust: Arc<Trust>,
    limits: Limits,
    client: OnceCell<reqwest::Client>,
    sites: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl HttpClient {
    /// A client. Nothing heavy happens before the first request.
    pub fn new(guard: Arc<Guard>, trust: Arc<Trust>, limits: Limits) -> Self {
        Self { guard, trust, limits, client: OnceCell::new(), sites: Mutex::default() }
    }

    /// Does ahead of time what the first request would do: reads the root certificates and sets up TLS.
    pub async fn warm(&self) -> Result<(), NoAnswer> {
        self.client().await.map(|_| ())
    }

    /// Sends a request with an absolute `http` or `https` URL, and reads the whole answer, whatever its status.
    pub async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        let upload = request.body().len() as u64 * 1000 / self.limits.upload.max(1) as u64;
        let bounds = self.bounds(self.limits.whole + Duration::from_millis(upload), self.limits.body).await?;
        self.exchange(request, bounds).await
    }

    /// The bounds of a download that begins now, of up to that many bytes.
    pub(crate) async fn for_download(&self, max: u64) -> Result<Bounds, NoAnswer> {
        self.bounds(self.limits.download, usize::try_from(max).unwrap_or(usize::MAX)).await
    }

    async fn bounds(&self, whole: Duration, body: usize) -> Result<Bounds, NoAnswer> {
        // Time is counted from when the client is set up: the first request must not pay for that.
        self.client().await?;
        Ok(Bounds { deadline: Instant::now() + whole, whole, body })
    }

    /// Sends a request, and reads the whole answer, within those bounds.
    pub(crate) async fn exchange(
        &self,
        request: http::Request<Bytes>,
        bounds: Bounds,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string())
            .map_err(|error| NoAnswer::Forbidden(format!("the request's URL is not usable: {error}")))?;
        let site = self.check(&url)?;
        let client = self.client().await?;

        let turns = self.turns(&site);
        let turn = timeout_at(bounds.deadline, turns.acquire()).await;
        if !matches!(turn, Ok(Ok(_))) || Instant::now() >= bounds.deadline {
            return Err(NoAnswer::Unreachable(format!("{site}: too many requests to it are under way")));
        }

        let mut outgoing = reqwest::Request::new(parts.method, url);
        *outgoing.headers_mut() = parts.headers;
        if !body.is_empty() {
            *outgoing.body_mut() = Some(body.into());
        }
        let exchange = async {
            let response = client.execute(outgoing).await.map_err(|error| self.no_answer(&site, error))?;
            self.read(&site, response, bounds.body).await
        };
        timeout_at(bounds.deadline, exchange).await.unwrap_or_else(|_| {
            Err(NoAnswer::Broken(format!("{site}: no whole answer within {} s", bounds.whole.as_secs_f32())))
        })
    }

    /// Checks what can be told without a resolver, and returns the site's name: host, and port if it is not the usual.
    /// Hosts that are addresses have to be checked here, since clients don't ask the resolver about them; the parser
    /// has brought every spelling of them (`0x7f.1`, `2130706433`) into one form.
    fn check(&self, url: &Url) -> Result<String, NoAnswer> {
        let usual = match url.scheme() {
            "https" => 443,
            "http" => 80,
            _ => return Err(NoAnswer::Forbidden("only http and https URLs can be requested".into())),
        };
        let forbidden = |denied: Denied| NoAnswer::Forbidden(denied.to_string());
        let host = url.host_str().unwrap_or_default();
        self.guard.check_port(host, url.port().unwrap_or(usual)).map_err(forbidden)?;
        match url.host() {
            Some(Host::Ipv4(address)) => self.guard.check_address(address.into()).map_err(forbidden)?,
            Some(Host::Ipv6(address)) => self.guard.check_address(address.into()).map_err(forbidden)?,
            Some(Host::Domain(_)) => {}
            None => return Err(NoAnswer::Forbidden("the request's URL names no host".into())),
        }
        Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    async fn client(&self) -> Result<&reqwest::Client, NoAnswer> {
        let built = self.client.get_or_try_init(|| async {
            let trust = Arc::clone(&self.trust);
            // Reads hundreds of files on some systems.
            let tls = tokio::task::spawn_blocking(move || trust.config()).await?;
            let builder = reqwest::Client::builder()
                .tls_backend_preconfigured((*tls).clone())
                .dns_resolver(Checked(Arc::clone(&self.guard)))
                .http1_only()
                .tcp_nodelay(true)
                .user_agent(USER_AGENT)
                .referer(false)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .connect_timeout(self.limits.connect)
                .pool_max_idle_per_host(self.limits.idle_per_site)
                .pool_idle_timeout(self.limits.idle);
            let builder = if self.limits.proxy_from_env { builder } else { builder.no_proxy() };
            builder.build().map_err(Box::<dyn Error + Send + Sync>::from)
        });
        built.await.map_err(|error: Box<dyn Error + Send + Sync>| {
            NoAnswer::Unreachable(format!("the HTTP client can't be set up: {error}"))
        })
    }

    fn turns(&self, site: &str) -> Arc<Semaphore> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = sites.get(site) {
            return Arc::clone(turns);
        }
        if sites.len() >= SITES {
            sites.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        let turns = Arc::new(Semaphore::new(self.limits.per_site));
        sites.insert(site.to_owned(), Arc::clone(&turns));
        turns
    }

    async fn read(
        &self,
        site: &str,
        mut response: reqwest::Response,
        max: usize,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        let too_long = || NoAnswer::Broken(format!("{site}: its answer is longer than {max} bytes"));
        let length = response.content_length();
        if length.is_some_and(|length| length > max as u64) {
            return Err(too_long());
        }
        // Most answers come in one piece, which is then passed on as it is.
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.no_answer(site, error))? {
            if first.len().max(all.len()) + piece.len() > max {
                return Err(too_long());
            }
            if first.is_empty() {
                first = piece;
                continue;
            }
            if all.is_empty() {
                // What was declared is believed up to a point: memory is taken as bytes come.
                all.reserve(length.map_or(0, |length| length.min(RESERVED) as usize));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&piece);
        }
        let body = if all.is_empty() { first } else { all.freeze() };
        let mut answer = http::Response::new(body);
        *answer.status_mut() = response.status();
        *answer.version_mut() = response.version();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        Ok(answer)
    }

    fn no_answer(&self, site: &str, error: reqwest::Error) -> NoAnswer {
        // Its words would name the whole URL.
        let error = error.without_url();
        if let Some(denied) = denied(&error) {
            return match denied {
                Denied::Forbidden(why) => NoAnswer::Forbidden(why.clone()),
                Denied::NoName(why) => NoAnswer::Unreachable(why.clone()),
            };
        }
        if !error.is_connect() {
            return NoAnswer::Broken(format!("{site}: {}", cause(&error)));
        }
        NoAnswer::Unreachable(if error.is_timeout() {
            format!("{site}: no connection within {} s", self.limits.connect.as_secs_f32())
        } else {
            format!("{site}: {}", cause(&error))
        })
    }
}

/// The guard as the client's only resolver: what it connects to has passed.
struct Checked(Arc<Guard>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str()).await?;
            // Port 0 stands for the URL's.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

fn denied(error: &reqwest::Error) -> Option<&Denied> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(denied) = error.downcast_ref::<Denied>() {
            return Some(denied);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests;
