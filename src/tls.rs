//! TLS: certificates and keys from files, who is trusted, which versions and cipher suites; sessions over any stream.
//!
//! rustls does the protocol. A [`Server`] or [`Client`] is made of [`Options`] and lives as long as its component; what its
//! files hold is read when it is made and again by [`reread`], and goes to the sessions that begin afterwards. A session
//! knows no socket: the event loop and the blocking client each bring theirs. Any thread; the configuration at hand and
//! the list of the living are behind leaf mutexes.

mod explain;
mod lists;
mod session;
mod stores;
mod verify;

pub use session::Session;

use crate::lock::lock;
use rustls::crypto::ring::default_provider;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use verify::Verifier;

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
    pub fn doubts(&self) -> Vec<(What, String)> {
        lists::doubts(self)
    }

    /// What is wrong with them: that they leave nothing.
    pub fn fault(&self) -> Option<Fault> {
        provider(self).and_then(|p| lists::versions(self, &p.cipher_suites)).err()
    }
}

/// The part of the options that is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Identity,
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

/// One side of connections: a configuration that can be made again.
struct Side<C> {
    owner: String,
    options: Options,
    make: fn(&Options) -> Result<Made<C>, Fault>,
    /// The fault, as long as nothing could be read.
    now: Mutex<Result<Made<C>, Fault>>,
}

/// A configuration, and what of its files went into it.
struct Made<C> {
    config: Arc<C>,
    files: Vec<Vec<u8>>,
}

trait Reread: Send + Sync {
    fn reread(&self) -> Option<Reading>;
}

/// What became of a component's files.
#[derive(Debug, PartialEq, Eq)]
pub struct Reading {
    pub owner: String,
    /// The fault, if they are of no use: what was read before stays.
    pub fault: Option<String>,
}

impl<C: Send + Sync> Reread for Side<C> {
    fn reread(&self) -> Option<Reading> {
        let owner = self.owner.clone();
        match (self.make)(&self.options) {
            Ok(made) => {
                let mut now = lock(&self.now);
                let has_changed = now.as_ref().map_or(true, |now| made.files != now.files);
                if has_changed {
                    *now = Ok(made);
                }
                has_changed.then_some(Reading { owner, fault: None })
            }
            Err(fault) => Some(Reading { owner, fault: Some(fault.why) }),
        }
    }
}

/// All that [`reread`] reads again.
static LIVING: Mutex<Vec<Weak<dyn Reread>>> = Mutex::new(Vec::new());

/// Reads all files again; returns those components whose files have changed or are of no use.
pub fn reread() -> Vec<Reading> {
    let living: Vec<Arc<dyn Reread>> = {
        let mut all = lock(&LIVING);
        all.retain(|side| side.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    };
    living.iter().filter_map(|side| side.reread()).collect()
}

impl<C: Send + Sync + 'static> Side<C> {
    fn new(owner: &str, options: Options, make: fn(&Options) -> Result<Made<C>, Fault>) -> Arc<Side<C>> {
        let now = Mutex::new(make(&options));
        let side = Arc::new(Side { owner: owner.to_owned(), options, make, now });
        let weak: Weak<Side<C>> = Arc::downgrade(&side);
        lock(&LIVING).push(weak);
        side
    }

    fn config(&self) -> Result<Arc<C>, Fault> {
        lock(&self.now).as_ref().map(|made| made.config.clone()).map_err(Fault::clone)
    }
}

/// The server's side.
#[derive(Clone)]
pub struct Server(Arc<Side<ServerConfig>>);

impl Server {
    /// `owner`: the component, for messages.
    pub fn new(owner: &str, options: Options) -> Result<Server, Fault> {
        let server = Server::or_later(owner, options);
        server.0.config().map(|_| server)
    }

    /// One that takes no connection until its files can be read.
    pub fn or_later(owner: &str, options: Options) -> Server {
        Server(Side::new(owner, options, server))
    }

    /// A session for a connection that came in.
    pub fn accept(&self) -> Result<Session, String> {
        let c = rustls::ServerConnection::new(self.0.config().map_err(|f| f.why)?)
            .map_err(|e| explain::explain(&e))?;
        Ok(Session::new(c.into()))
    }
}

/// The client's side.
#[derive(Clone)]
pub struct Client(Arc<Side<ClientConfig>>);

impl Client {
    /// `owner`: the component, for messages.
    pub fn new(owner: &str, options: Options) -> Result<Client, Fault> {
        let client = Client(Side::new(owner, options, client));
        client.0.config().map(|_| client)
    }

    /// A session for a connection to `host`, a name or an address.
    pub fn connect(&self, host: &str) -> Result<Session, String> {
        let name = ServerName::try_from(host.to_owned())
            // A name that certificates cannot bear: one with an underscore, perhaps.
            .or_else(|_| ServerName::try_from("unnamed.invalid".to_owned()))
            .map_err(|e| e.to_string())?;
        let c = rustls::ClientConnection::new(self.0.config().map_err(|f| f.why)?, name)
            .map_err(|e| explain::explain(&e))?;
        Ok(Session::new(c.into()))
    }
}

fn provider(lists: &Lists) -> Result<Arc<CryptoProvider>, Fault> {
    let mut provider = default_provider();
    provider.cipher_suites = lists::suites(lists, provider.cipher_suites)?;
    Ok(Arc::new(provider))
}

fn server(options: &Options) -> Result<Made<ServerConfig>, Fault> {
    let identity = options.identity.as_ref();
    let identity = identity.ok_or_else(|| Fault::new(What::Identity, "a server needs a certificate"))?;
    let mut files = Vec::new();
    let (chain, key) = stores::identity(identity, &mut files)?;
    let provider = provider(&options.lists)?;
    let versions = lists::versions(&options.lists, &provider.cipher_suites)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|e| Fault::new(What::Protocols, e.to_string()))?;
    let builder = match options.client_auth {
        ClientAuth::None => builder.with_no_client_auth(),
        asked => {
            let roots = stores::roots(&options.trust, &mut files)?;
            builder.with_client_cert_verifier(Arc::new(Verifier::of_clients(roots, asked)))
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|e| Fault::new(What::Identity, explain::explain(&e)))?;
    // A client that sends, reads nothing and closes has its system reset the connection if tickets of TLS 1.3 lie there
    // unread, and what it sent last is lost.
    config.send_tls13_tickets = 0;
    Ok(Made { config: Arc::new(config), files })
}

fn client(options: &Options) -> Result<Made<ClientConfig>, Fault> {
    let mut files = Vec::new();
    let roots = match options.trust {
        Trust::Anyone => stores::Roots::default(),
        _ => stores::roots(&options.trust, &mut files)?,
    };
    let provider = provider(&options.lists)?;
    let versions = lists::versions(&options.lists, &provider.cipher_suites)?;
    let verifier = Verifier::of_servers(roots, options.trust == Trust::Anyone, options.verify_hostname);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|e| Fault::new(What::Protocols, e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &options.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = stores::identity(identity, &mut files)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| Fault::new(What::Identity, explain::explain(&e)))?
        }
    };
    Ok(Made { config: Arc::new(config), files })
}

#[cfg(test)]
pub(crate) mod tests;
