//! The address guard: where we may connect to, since people tell us URLs and host names. It resolves a name once,
//! checks every address, and gives out only those that passed; whoever connects must take them, with no second lookup.
//! It must not know what is sent there.

mod nets;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use url::Host;

pub use nets::{BadNet, Net};

/// How long the last good answer of a name serves while its resolver fails.
pub const LAST_GOOD: Duration = Duration::from_mins(5);

/// How long the resolver may take while there is a last good answer to fall back on.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many names are remembered with their last good answer.
const REMEMBERED: usize = 1024;

/// The ports below 1024 that may be connected to: HTTP, mail, IRC.
const LOW_PORTS: [u16; 8] = [25, 80, 143, 194, 443, 465, 587, 993];

/// Says where we may connect to.
///
/// Refused are all addresses outside the public internet: loopback, private, link-local with the metadata services,
/// carrier-grade NAT, multicast, documentation and the like, and v6 forms that wrap a v4 address; except in networks
/// that the operator allows. Refused are ports below 1024 other than those of HTTP, mail and IRC.
pub struct Guard {
    allow: Vec<Net>,
    lookup: Box<dyn Lookup>,
    remembered: Mutex<HashMap<String, (Instant, Vec<IpAddr>)>>,
}

/// Why there is no address to connect to. The sentences name the host, and no address that it resolved to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Our rules forbid it.
    #[error("{0}")]
    Forbidden(String),
    /// The name has no address, or the resolver failed. May change with time.
    #[error("{0}")]
    NoName(String),
}

/// Finds the addresses of a name.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// All of them, in order of preference.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

impl Guard {
    /// A guard over the system's resolver.
    pub fn new(allow: Vec<Net>) -> Self {
        Self::with_lookup(allow, System)
    }

    /// A guard over another resolver.
    pub fn with_lookup(allow: Vec<Net>, lookup: impl Lookup) -> Self {
        Self { allow, lookup: Box::new(lookup), remembered: Mutex::default() }
    }

    /// Whether that port may be connected to.
    pub fn check_port(&self, host: &str, port: u16) -> Result<(), Denied> {
        if port >= 1024 || LOW_PORTS.contains(&port) {
            return Ok(());
        }
        Err(Denied::Forbidden(format!(
            "{host}: connecting to port {port} is not allowed; use 80, 443, a mail or IRC port, or one from 1024 on"
        )))
    }

    /// Whether that address may be connected to.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Denied> {
        match self.kind(address) {
            None => Ok(()),
            Some(kind) => Err(Denied::Forbidden(format!(
                "{address} is a {kind} address, which is not allowed; the operator can allow its network"
            ))),
        }
    }

    /// Where to connect to, by name or address in any spelling; never empty. Some addresses of a name may be left out;
    /// if all are, it is forbidden.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Denied> {
        self.check_port(host, port)?;
        let literal = match Host::parse(host) {
            Ok(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Ok(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => host.parse().ok(),
        };
        let addresses = match literal {
            Some(address) => self.check_address(address).map(|()| vec![address])?,
            None => self.resolve(host).await?,
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// The addresses of a name that may be connected to; never empty.
    pub async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Denied> {
        let name = host.to_ascii_lowercase();
        let last_good = self.last_good(&name);
        let answer = match &last_good {
            None => self.lookup.lookup(host).await,
            Some(_) => timeout(PATIENCE, self.lookup.lookup(host)).await.unwrap_or_else(|late| Err(late.into())),
        };
        let found = match (answer, last_good) {
            (Ok(found), _) if !found.is_empty() => found,
            (_, Some(addresses)) => return Ok(addresses),
            (Ok(_), None) => return Err(Denied::NoName(format!("{host} has no address"))),
            (Err(error), None) => return Err(Denied::NoName(format!("{host} can't be resolved: {error}"))),
        };
        let mut refused = None;
        let passed: Vec<_> = found
            .into_iter()
            .filter(|address| match self.kind(*address) {
                None => true,
                Some(kind) => {
                    refused = Some(kind);
                    false
                }
            })
            .collect();
        if let (true, Some(kind)) = (passed.is_empty(), refused) {
            return Err(Denied::Forbidden(format!(
                "{host} leads to a {kind} address, which is not allowed; the operator can allow its network"
            )));
        }
        self.remember(name, &passed);
        Ok(passed)
    }

    fn kind(&self, address: IpAddr) -> Option<&'static str> {
        nets::unreachable_kind(address).filter(|_| !self.allow.iter().any(|net| net.contains(address)))
    }

    fn last_good(&self, name: &str) -> Option<Vec<IpAddr>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(name).filter(|(when, _)| when.elapsed() <= LAST_GOOD).map(|(_, addresses)| addresses.clone())
    }

    fn remember(&self, name: String, addresses: &[IpAddr]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED && !remembered.contains_key(&name) {
            remembered.retain(|_, (when, _)| when.elapsed() <= LAST_GOOD);
        }
        // When full of fresh answers the newcomer goes without: it only lacks the fall-back.
        if remembered.len() < REMEMBERED || remembered.contains_key(&name) {
            remembered.insert(name, (Instant::now(), addresses.to_vec()));
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("allow", &self.allow).finish_non_exhaustive()
    }
}

/// The system's resolver.
struct System;

#[async_trait]
impl Lookup for System {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for found in tokio::net::lookup_host((host, 0)).await? {
            if !addresses.contains(&found.ip()) {
                addresses.push(found.ip());
            }
        }
        Ok(addresses)
    }
}
