//! Says in words why an exchange failed, and whose fault it is.

use std::{error::Error as _, io};

use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};

use super::HEAD_BYTES_MAX;
use crate::{
    attempt::{Failure, FailureClass},
    chain::chain,
    guard::LookupError,
};

/// Errors of the system that have no [`io::ErrorKind`] of their own.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };

/// Whether the error says that this machine is out of something, and nothing of the endpoint.
pub(super) fn is_ours(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
        )
}

pub(super) fn of_lookup(error: &LookupError) -> Failure {
    match error {
        LookupError::Forbidden(_) => Failure::new(FailureClass::Blocked, error.to_string()),
        LookupError::Failed(cause) if is_ours(cause) => ours(cause),
        // A resolver that cannot open a socket says only that there is no answer.
        LookupError::Failed(_) => match tokio::net::TcpSocket::new_v4() {
            Err(cause) if is_ours(&cause) => ours(&cause),
            _ => Failure::new(FailureClass::Dns, chain(error)),
        },
        LookupError::Empty | LookupError::Timeout => {
            Failure::new(FailureClass::Dns, error.to_string())
        }
    }
}

pub(super) fn of_connect(error: &io::Error) -> Failure {
    if is_ours(error) {
        return ours(error);
    }
    let detail = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to the host"
        }
        io::ErrorKind::TimedOut => "the host does not answer",
        _ => "no connection could be made",
    };
    Failure::new(FailureClass::Connect, detail)
}

fn ours(error: &io::Error) -> Failure {
    let detail = if error.kind() == io::ErrorKind::AddrNotAvailable {
        "this machine has no free port for a connection".to_owned()
    } else if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) {
        "this machine has no free file descriptor for a connection: raise the limit of open files"
            .to_owned()
    } else {
        format!("this machine cannot make a connection: {error}")
    };
    Failure::new(FailureClass::Internal, detail)
}

/// Why a TLS handshake failed.
pub(super) fn of_handshake(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let detail = match inner {
        Some(TlsError::InvalidCertificate(error)) => of_certificate(error),
        Some(
            TlsError::AlertReceived(AlertDescription::ProtocolVersion)
            | TlsError::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13,
            ),
        ) => "the server speaks no TLS of version 1.2 or newer".to_owned(),
        Some(TlsError::AlertReceived(alert)) => {
            format!("the server refused the TLS handshake: {alert:?}")
        }
        Some(TlsError::InvalidMessage(_)) => {
            "what the server sent is no TLS: does this port expect http://?".to_owned()
        }
        Some(error) => format!("the TLS handshake failed: {error}"),
        None => "the connection ended during the TLS handshake".to_owned(),
    };
    Failure::new(FailureClass::Tls, detail)
}

fn of_certificate(error: &CertificateError) -> String {
    let detail = match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another host name"
        }
        CertificateError::UnknownIssuer => {
            "the certificate is signed by itself or by an authority that is not trusted here"
        }
        CertificateError::BadSignature => "the signature of the certificate is wrong",
        CertificateError::Revoked => "the certificate has been revoked",
        other => return format!("the certificate is not valid: {other}"),
    };
    detail.to_owned()
}

/// Why no head of a response came. `is_spent`: as many bytes came as may.
pub(super) fn of_head(error: &hyper::Error, is_spent: bool) -> Failure {
    if is_spent || error.is_parse_too_large() {
        let detail = format!(
            "the head of the answer is longer than {} KiB or has more than 100 headers",
            HEAD_BYTES_MAX >> 10
        );
        return Failure::new(FailureClass::Response, detail);
    }
    if error.is_parse() {
        let detail = format!("what came is not an HTTP/1.1 response: {error}");
        return Failure::new(FailureClass::Response, detail);
    }
    Failure::new(
        FailureClass::Response,
        "the connection ended within the head of the answer",
    )
}

/// Why the body of a response did not end.
pub(super) fn of_body(error: &hyper::Error) -> Failure {
    let is_malformed = error
        .source()
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .is_some_and(|cause| {
            matches!(
                cause.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            )
        });
    let detail = if is_malformed {
        "the body of the answer is not well-formed"
    } else {
        "the connection ended within the body of the answer"
    };
    Failure::new(FailureClass::Response, detail)
}

pub(super) fn unanswered() -> Failure {
    Failure::new(
        FailureClass::Response,
        "the connection ended without an answer",
    )
}
