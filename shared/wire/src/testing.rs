//! What the tests of this crate share: loopback servers that do what they are told, a guard that lets them be reached,
//! and a test CA.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream};

use crate::guard::Lookup;
use crate::{Guard, Net};

/// A guard that allows loopback.
pub(crate) fn loopback() -> Arc<Guard> {
    Arc::new(Guard::new(nets("loopback")))
}

pub(crate) fn nets(text: &str) -> Vec<Net> {
    text.split_whitespace().map(|net| net.parse().unwrap()).collect()
}

/// A resolver that answers from a script, one answer a call; the last one stays. An empty answer is a failure.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Script {
    pub(crate) fn new(host: &str, answers: &[&str]) -> Self {
        let script = Self::default();
        let parse = |answer: &&str| answer.split_whitespace().map(|address| address.parse().unwrap()).collect();
        script.answers.lock().unwrap().insert(host.into(), answers.iter().map(parse).collect());
        script
    }
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut answers = self.answers.lock().unwrap();
        let answers = answers.get_mut(host).ok_or_else(|| io::Error::other("no such name"))?;
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        if answer.is_empty() { Err(io::Error::other("the resolver is down")) } else { Ok(answer) }
    }
}

/// Serves each connection with `serve`, which is told its number, from 1.
pub(crate) async fn server<F, R>(serve: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(number, stream));
        }
    });
    address
}

/// A port on which nobody listens.
pub(crate) async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A CA, and a server's configuration with a leaf certificate of it for that host.
pub(crate) fn tls_server(host: &str) -> (String, Arc<rustls::ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        )
        .unwrap();
    (ca.pem(), Arc::new(config))
}
