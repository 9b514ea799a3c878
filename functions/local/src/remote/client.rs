//! The HTTP client of the command line: one instance, one key; JSON in and out, lists whole, streams by the line.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, Response};
use sameroom_wire::Trust;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::problem::Failure;
use super::profile::Whom;
use crate::cli::ServeArgs;
use crate::settings::Settings;
use crate::{control, output};

/// How long one answer may take. Asking a platform for its rooms takes a while.
const WHOLE: Duration = Duration::from_mins(2);
const CONNECT: Duration = Duration::from_secs(15);
/// How many a page of a list has.
const PAGE: &str = "200";
/// How long we wait by ourselves when we were told to.
const WAIT_MAX: Duration = Duration::from_secs(30);
const WAITS_MAX: u32 = 3;
/// The longest line of a stream.
const LINE_MAX: usize = 1 << 20;

/// An instance and the way to it.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
    /// Who it is, for people.
    site: String,
}

/// A stream of server-sent events.
pub(crate) struct Events {
    response: Response,
    buffer: Vec<u8>,
    site: String,
}

/// One of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Client {
    /// A client; nothing is asked yet.
    pub(crate) fn new(serve: &ServeArgs, whom: &Whom) -> anyhow::Result<Self> {
        let settings = Settings::load(serve)?;
        let builder = reqwest::Client::builder()
            // A key goes to the site that it is for, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("sameroom/", env!("CARGO_PKG_VERSION")));
        let trust = Trust::new(settings.ca.as_deref()).context("the CA certificate is not usable")?;
        let builder = builder.tls_backend_preconfigured((*trust.config()).clone());
        let (builder, base, key, site) = match whom {
            Whom::Local => {
                let socket = control::api_socket(&settings.data);
                if !socket.exists() {
                    let text = format!(
                        "no Sameroom runs on {}; start one by `sameroom`, or name another by --url or --profile",
                        settings.data.display()
                    );
                    anyhow::bail!(Failure::unreachable(text));
                }
                let base = Url::parse("http://localhost")?;
                (builder.no_proxy().unix_socket(socket), base, None, "the Sameroom on this machine".to_owned())
            }
            Whom::Elsewhere { url, key } => {
                let open = url.scheme() == "http" && !is_loopback(url);
                if open {
                    tell!("warning: {url} is not encrypted; who listens on the way can read the key");
                }
                (builder, url.clone(), Some(key.clone()), url.as_str().trim_end_matches('/').to_owned())
            }
        };
        Ok(Self { http: builder.build().context("the HTTP client can't be made")?, base, key, site })
    }

    /// Reads one thing. `path`: its parts, as they are.
    pub(crate) async fn get(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(Method::GET, path, &[], None).await
    }

    /// Likewise; `None` where there is no such thing.
    pub(crate) async fn find(&self, path: &[&str]) -> Result<Option<Value>, Failure> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(e) if e.kind == "not-found" => Ok(None),
            Err(e) => Err(e),
        }
    }

    pub(crate) async fn post(&self, path: &[&str], body: Option<Value>) -> Result<Value, Failure> {
        self.ask(Method::POST, path, &[], body).await
    }

    pub(crate) async fn patch(&self, path: &[&str], body: Value) -> Result<Value, Failure> {
        self.ask(Method::PATCH, path, &[], Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, query, None).await
    }

    /// A list, all its pages, as one page.
    pub(crate) async fn list(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut all = query.to_vec();
            all.push(("limit", PAGE));
            if !cursor.is_empty() {
                all.push(("cursor", &cursor));
            }
            let mut page = self.ask(Method::GET, path, &all, None).await?;
            if let Value::Array(more) = page["items"].take() {
                items.extend(more);
            }
            match page["next"].as_str() {
                Some(next) if next != cursor => next.clone_into(&mut cursor),
                _ => return Ok(json!({ "items": items })),
            }
        }
    }

    /// Follows a stream of events.
    pub(crate) async fn follow(&self, query: &[(&str, &str)], after: Option<&str>) -> Result<Events, Failure> {
        let mut request = self.request(Method::GET, &["events"], query)?.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status().is_success() {
            return Ok(Events { response, buffer: Vec::new(), site: self.site.clone() });
        }
        let (status, body) = self.read(response).await?;
        Err(Failure::answered(&self.site, status, &body))
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Value, Failure> {
        let mut waits = 0;
        loop {
            let mut request = self.request(method.clone(), path, query)?.timeout(WHOLE);
            if let Some(body) = &body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            let response = output::patiently("asking", request.send()).await.map_err(|e| self.unreachable(&e))?;
            if response.status().as_u16() == 429
                && let Some(wait) = retry_after(&response).filter(|_| waits < WAITS_MAX)
            {
                waits += 1;
                tokio::time::sleep(wait).await;
                continue;
            }
            let (status, body) = self.read(response).await?;
            return match status {
                204 => Ok(Value::Null),
                200..300 if body.is_object() => Ok(body),
                _ => Err(Failure::answered(&self.site, status, &body)),
            };
        }
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut parts) => drop(parts.pop_if_empty().extend(["api", "v1"]).extend(path)),
            Err(()) => return Err(Failure::other(format!("{} is no URL to ask", self.site))),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        Ok(request)
    }

    async fn read(&self, response: Response) -> Result<(u16, Value), Failure> {
        let status = response.status();
        if status.is_redirection() {
            let place = response.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
            let text = format!("{} sends to {place}; use that URL, if you trust it with the key", self.site);
            return Err(Failure::unreachable(text));
        }
        let bytes = response.bytes().await.map_err(|e| self.unreachable(&e))?;
        Ok((status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    fn unreachable(&self, e: &reqwest::Error) -> Failure {
        let mut why: &dyn std::error::Error = e;
        while let Some(deeper) = why.source() {
            why = deeper;
        }
        let cure = match self.key {
            Some(_) => "check the URL and that it runs there",
            None => "start it by `sameroom`",
        };
        let site = &self.site;
        if e.is_timeout() {
            return Failure::unreachable(format!("{site} did not answer in time; {cure}"));
        }
        Failure::unreachable(format!("{site} can't be reached ({why}); {cure}"))
    }
}

impl Events {
    /// The next event. `None`: the stream ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, Failure> {
        let mut told = Told::default();
        loop {
            let Some(line) = self.line().await? else { return Ok(None) };
            if line.is_empty() {
                // One without data says where to go on from.
                if !told.data.is_empty() || told.id.is_some() {
                    return Ok(Some(told));
                }
                told = Told::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => told.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut told.name),
                "data" => told.data.push_str(value),
                _ => {}
            }
        }
    }

    async fn line(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) if self.buffer.len() + bytes.len() <= LINE_MAX => self.buffer.extend_from_slice(&bytes),
                Ok(Some(_)) => return Err(Failure::other(format!("{} sends lines without end", self.site))),
                // What breaks off is followed anew.
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|wait| *wait <= WAIT_MAX)
}
