//! TLS: certificates and keys from files, who is trusted, which versions and cipher suites; sessions over any stream.
//!
//! rustls does the protocol, where the feature `tls` is on; without it all of this is there and makes nothing. A [`Server`] or [`Client`] is made of [`Options`] and lives as long as its component; what its
//! files hold is read when it is made and again by [`reread`], and goes to the sessions that begin afterwards. A session
//! knows no socket: the event loop and the blocking client each bring theirs. Any thread; see `engine` for the locks.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod engine;
#[cfg(feature = "tls")]
mod explain;
#[cfg(feature = "tls")]
mod lists;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod stores;
#[cfg(feature = "tls")]
mod verify;

#[cfg(not(feature = "tls"))]
use absent as lists;
#[cfg(not(feature = "tls"))]
pub use absent::{jks, reread, Client, Server, Session};
#[cfg(feature = "tls")]
pub use engine::{reread, Client, Server};
#[cfg(feature = "tls")]
pub use session::Session;
#[cfg(feature = "tls")]
pub use stores::jks;

use std::fmt;
use std::path::PathBuf;

/// A file with certificates or keys: PKCS#12 or PEM, told apart by what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreFile {
    pub path: PathBuf,
    pub password: String,
}

/// Without the password.
impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)
    }
}

/// Where our certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Both in one file.
    Store(StoreFile),
    /// Each in a PEM file of its own.
    Pem { certificate: PathBuf, key: PathBuf },
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// Those that the system trusts.
    #[default]
    System,
    Store(StoreFile),
    /// Everybody's.
    Anyone,
}

/// Whether a server asks for its clients' certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ClientAuth {
    #[default]
    None,
    /// One that is sent has to be trusted.
    Want,
    Need,
}

/// What one side's configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Options {
    pub identity: Option<Identity>,
    pub trust: Trust,
    /// Of a server.
    pub client_auth: ClientAuth,
    /// Of a server that answers nothing: its clients need not read, and if they close with tickets of TLS 1.3 unread, their
    /// system resets the connection, and what they sent last is lost. So they get none. Others get them: Flume 1.9 (Netty 3)
    /// takes in the first answer only when something has come behind the handshake.
    pub is_silent: bool,
    /// Of a client: whether the server's certificate has to bear its name.
    pub verify_hostname: bool,
    pub lists: Lists,
}

/// Names of protocol versions and cipher suites, as Java has them; an empty list to include means: all there are.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lists {
    pub include_protocols: Vec<String>,
    pub exclude_protocols: Vec<String>,
    pub include_suites: Vec<String>,
    pub exclude_suites: Vec<String>,
}

impl Lists {
    /// What is odd about them: names that stand for nothing here.
    pub fn doubts(&self) -> Vec<Doubt> {
        lists::doubts(self)
    }

    /// What is wrong with them: that they leave nothing.
    pub fn fault(&self) -> Option<Fault> {
        lists::fault(self)
    }
}

/// A name in a list that is hardly meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub what: What,
    /// It is to be excluded.
    pub excludes: bool,
    pub why: String,
}

/// The part of the options that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Our certificate, or where it and its key are in one file.
    Identity,
    /// The key, where it has a file of its own.
    PrivateKey,
    Trust,
    Protocols,
    Suites,
}

/// Why there is no TLS with these options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub what: What,
    pub why: String,
}

impl Fault {
    fn new(what: What, why: impl Into<String>) -> Fault {
        Fault { what, why: why.into() }
    }
}

/// What became of a component's files.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub owner: String,
    /// The fault, if they are of no use: what was read before stays.
    pub fault: Option<String>,
}

#[cfg(all(test, feature = "tls"))]
pub(crate) mod tests;
