//! A connection of a sender: TCP, or TLS over it. The server's certificate is not looked at, and no session is resumed:
//! every connection costs the server a whole handshake.

use crate::Opts;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    /// Connects, and shakes hands where --tls says so.
    pub fn open(o: &Opts) -> io::Result<Link> {
        let s = TcpStream::connect((o.host.as_str(), o.port))?;
        s.set_nodelay(true)?;
        let t = Some(Duration::from_secs_f64(o.io_timeout));
        s.set_read_timeout(t)?;
        s.set_write_timeout(t)?;
        if !o.tls {
            return Ok(Link::Plain(s));
        }
        let name = ServerName::try_from("localhost").expect("a host name");
        let tls = ClientConnection::new(config(), name).map_err(io::Error::other)?;
        let mut s = StreamOwned::new(tls, s);
        while s.conn.is_handshaking() {
            s.conn.complete_io(&mut s.sock)?;
        }
        Ok(Link::Tls(Box::new(s)))
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Link::Plain(s) => s,
            Link::Tls(s) => &s.sock,
        }
    }

    /// Says goodbye, and shuts our side.
    pub fn end(&mut self) -> io::Result<()> {
        if let Link::Tls(s) = self {
            s.conn.send_close_notify();
            s.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Link {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(s) => s.read(out),
            Link::Tls(s) => s.read(out),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Plain(s) => s.write(bytes),
            Link::Tls(s) => s.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(s) => s.flush(),
            Link::Tls(s) => s.flush(),
        }
    }
}

fn config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let builder = ClientConfig::builder().dangerous();
        let mut c = builder.with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth();
        c.resumption = rustls::client::Resumption::disabled();
        Arc::new(c)
    };
    CONFIG.get_or_init(make).clone()
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256]
    }
}
