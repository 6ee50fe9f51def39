//! What went wrong with TLS, in words that say whose affair it is.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

pub fn explain(e: &Error) -> String {
    match e {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "no TLS: the peer sends plain text, or another protocol".to_owned()
        }
        Error::InvalidMessage(why) => format!("no TLS record that makes sense: {why:?}"),
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "the peer has no TLS version that is allowed here (TLSv1.2 and TLSv1.3, unless told otherwise)"
            .to_owned(),
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the peer has no cipher suite that is allowed here".to_owned()
        }
        Error::PeerIncompatible(why) => format!("the peer does not go with us: {why:?}"),
        Error::NoCertificatesPresented => {
            "the client has sent no certificate, and client-auth = need".to_owned()
        }
        Error::InvalidCertificate(why) => {
            format!("the peer's certificate is not accepted: {}", certificate(why))
        }
        Error::AlertReceived(alert) => alert_text(*alert),
        Error::InconsistentKeys(_) => "the private key is not the certificate's".to_owned(),
        other => other.to_string(),
    }
}

/// The same, where it is our own certificate that is looked at.
pub fn explain_own(e: &Error) -> String {
    match e {
        Error::InvalidCertificate(why) => format!("a certificate that is of no use: {}", certificate(why)),
        other => explain(other),
    }
}

/// Whether it is the peer's word that our certificate is not good enough, or missing.
pub fn is_refusal(e: &Error) -> bool {
    use AlertDescription::*;
    let Error::AlertReceived(alert) = e else { return false };
    matches!(
        alert,
        BadCertificate
            | UnsupportedCertificate
            | CertificateRevoked
            | CertificateExpired
            | CertificateUnknown
            | UnknownCA
            | AccessDenied
            | CertificateRequired
    )
}

fn certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "nobody who is trusted (truststore) has signed it".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet".to_owned()
        }
        CertificateError::BadEncoding => "it cannot be read".to_owned(),
        // The library has no names of its own for these.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "nobody who is trusted (truststore) has signed it, and it is an authority's own (CA:TRUE)"
                .to_owned()
        }
        CertificateError::Other(other) if other.to_string().contains("UnsupportedCertVersion") => {
            "it is of X.509 version 1, and has to be of version 3 (openssl x509 -req makes one with -extfile)"
                .to_owned()
        }
        other => other.to_string(),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    let what = match alert {
        AlertDescription::UnknownCA | AlertDescription::CertificateUnknown => {
            "the peer does not trust our certificate (its truststore)"
        }
        AlertDescription::BadCertificate => "the peer does not accept our certificate",
        AlertDescription::CertificateExpired => "our certificate has expired",
        AlertDescription::CertificateRequired => "the peer wants a certificate of ours, and there is none",
        AlertDescription::ProtocolVersion => "the peer does not take our TLS versions",
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            "the peer found no version, cipher suite or key in common"
        }
        _ => "the peer ends it",
    };
    format!("{what} (alert {alert:?})")
}
