//! Whom TLS trusts: the system's roots, further CAs of the operator, and those of a single connection. Loaded on first
//! use, since reading a system's roots takes milliseconds that a start need not pay. Verification is never skipped: a connection
//! that is pinned trusts its pin alone.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use sameroom_platforms::Tls;

use crate::proof::{Chain, Pinned};

/// Whom TLS trusts.
#[derive(Debug, Default)]
pub struct Trust {
    extra: Vec<CertificateDer<'static>>,
    shared: OnceLock<Arc<ClientConfig>>,
}

/// A certificate or key that can't be used: a sentence that says which.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPem(pub String);

impl Trust {
    /// The system's roots, and the CA certificates of a PEM file besides.
    pub fn new(extra_pem: Option<&[u8]>) -> Result<Self, BadPem> {
        let extra = extra_pem.map(certificates).transpose()?.unwrap_or_default();
        let mut probe = RootCertStore::empty();
        for certificate in &extra {
            probe
                .add(certificate.clone())
                .map_err(|error| BadPem(format!("the CA certificate is not usable: {error}")))?;
        }
        Ok(Self { extra, shared: OnceLock::new() })
    }

    /// The configuration that all connections share which ask for nothing else; with one cache of TLS sessions. The
    /// first call reads the system's roots, some milliseconds of blocking work.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(self.shared.get_or_init(|| match Verifier::new_with_extra_roots(self.extra.clone(), provider()) {
            Ok(verifier) => Arc::new(trusting(Arc::new(Chain(verifier))).with_no_client_auth()),
            Err(error) => {
                // Plain connections still work; every handshake fails, and says that the issuer is unknown.
                tracing::warn!(%error, "no CA certificates found: TLS connections will fail; install ca-certificates");
                Arc::new(protocol().with_root_certificates(RootCertStore::empty()).with_no_client_auth())
            }
        }))
    }

    /// The configuration for one connection, with a CA, a pin and a client certificate of its own.
    pub fn config_for(&self, tls: &Tls) -> Result<Arc<ClientConfig>, BadPem> {
        let builder = match tls.pin {
            Some(pin) => trusting(Arc::new(Pinned { pin, provider: provider() })),
            None if tls.ca.is_none() && tls.client.is_none() => return Ok(self.config()),
            None => trusting(Arc::new(Chain(self.verifier(tls.ca.as_deref())?))),
        };
        let config = match &tls.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|_| BadPem("the client key is no PEM private key".into()))?;
                builder
                    .with_client_auth_cert(certificates(chain.as_bytes())?, key)
                    .map_err(|error| BadPem(format!("the client certificate is not usable: {error}")))?
            }
        };
        Ok(Arc::new(config))
    }

    fn verifier(&self, ca: Option<&str>) -> Result<Verifier, BadPem> {
        let mut roots = self.extra.clone();
        if let Some(pem) = ca {
            roots.extend(certificates(pem.as_bytes())?);
        }
        Verifier::new_with_extra_roots(roots, provider())
            .map_err(|error| BadPem(format!("the CA certificate is not usable: {error}")))
    }
}

type Builder<State> = rustls::ConfigBuilder<ClientConfig, State>;

/// The provider is named, and not taken from the process, so that nothing breaks if another crate enables a second one.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

fn protocol() -> Builder<rustls::WantsVerifier> {
    let versions = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "fails only for a provider without cipher suites; aws-lc-rs has them")]
    versions.expect("aws-lc-rs speaks TLS 1.2 and 1.3")
}

fn trusting(verifier: Arc<dyn ServerCertVerifier>) -> Builder<rustls::client::WantsClientCert> {
    protocol().dangerous().with_custom_certificate_verifier(verifier)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BadPem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(BadPem("there is no PEM certificate in what was given".into())),
    }
}
