//! How a server proves by its certificate who it is: by a chain to somebody trusted, or by being the one that was pinned.
//! What it showed goes into the error, so that its owner can be told the fingerprint. Signatures of the handshake are
//! verified either way, so nobody gets by with somebody else's certificate. It must not know whom we trust, or why.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use sameroom_platforms::Pin;
use sha2::{Digest, Sha256};

/// A certificate that a chain does not vouch for.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct Untrusted {
    /// What is wrong with it.
    pub(crate) why: Error,
    /// What it is known by.
    pub(crate) seen: Pin,
}

/// A certificate that is not the pinned one.
#[derive(Debug, thiserror::Error)]
#[error(
    "its certificate is not the pinned one: pin={expected} was given, and it has {seen}; if its operators say that this \
     one is theirs, give that as `pin`"
)]
pub(crate) struct Mispinned {
    expected: Pin,
    seen: Pin,
}

/// Finds the fingerprint in an error about a certificate that is not trusted.
pub(crate) fn seen(error: &std::io::Error) -> Option<Pin> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    other::<Untrusted>(error).map(|untrusted| untrusted.seen)
}

/// What a verifier of ours put into an error.
pub(crate) fn other<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => other.downcast_ref(),
        _ => None,
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

fn hash(bytes: &[u8]) -> Pin {
    Pin(Sha256::digest(bytes).into())
}

/// Verifies by another verifier, and says what was seen where that one objects.
#[derive(Debug)]
pub(crate) struct Chain<V>(pub(crate) V);

impl<V: ServerCertVerifier> ServerCertVerifier for Chain<V> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0
            .verify_server_cert(leaf, chain, name, ocsp, now)
            .map_err(|why| invalid(Untrusted { why, seen: hash(leaf) }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Takes the one certificate that was pinned, or any with the key that was pinned, whatever else they say.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) pin: Pin,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = hash(leaf);
        let key = || ParsedCertificate::try_from(leaf).map(|leaf| hash(&leaf.subject_public_key_info()));
        if seen == self.pin || key().is_ok_and(|key| key == self.pin) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(invalid(Mispinned { expected: self.pin, seen }))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
