//! Says in a few plain words why a connection failed. Looks only at kinds of errors, never at what was sent.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustls::CertificateError;

use crate::proof::{Mispinned, Untrusted, other};

/// The cause, as the end of a sentence that begins with the site's name and a colon.
pub(crate) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        let io = error.downcast_ref::<io::Error>();
        // An io::Error with another inside shows that one's source as its own, and so skips it.
        if let Some(inner) = io.and_then(io::Error::get_ref) {
            next = Some(inner);
            continue;
        }
        if let Some(words) = io.and_then(|io| io_cause(io.kind())) {
            return words.into();
        }
        last = error;
        next = error.source();
    }
    last.to_string()
}

fn io_cause(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::ConnectionRefused => "the connection was refused",
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => "the connection was reset",
        ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::NotConnected => "the connection was cut",
        ErrorKind::TimedOut => "it did not answer in time",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "there is no route to it",
        _ => return None,
    })
}

fn tls_cause(error: &rustls::Error) -> String {
    use rustls::Error::{InvalidCertificate, InvalidMessage};
    if let Some(untrusted) = other::<Untrusted>(error) {
        return tls_cause(&untrusted.why);
    }
    if let Some(mispinned) = other::<Mispinned>(error) {
        return mispinned.to_string();
    }
    match error {
        InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            "its certificate is for another name".into()
        }
        InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".into()
        }
        InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet".into()
        }
        // A bad signature: the CA that was given has the issuer's name, and another key.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "its certificate is from an issuer that is not trusted here; the operator can trust a CA file".into()
        }
        // Most often one that signed itself, and says that it may sign others.
        InvalidCertificate(CertificateError::Other(other)) => {
            format!("its certificate can't be verified ({})", other.0)
        }
        InvalidMessage(_) => "it does not speak TLS on that port".into(),
        other => format!("TLS failed: {other}"),
    }
}
