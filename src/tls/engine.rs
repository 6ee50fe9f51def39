//! The two sides of TLS as rustls has them: made of options, made again when files are read again.
//!
//! Any thread; the configuration at hand and the list of the living are behind leaf mutexes.

use super::explain::{explain, explain_own};
use super::lists::{self, provider};
use super::stores;
use super::verify::Verifier;
use super::{ClientAuth, Fault, Options, Reading, Session, Trust, What};
use crate::lock::lock;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use std::sync::{Arc, Mutex, Weak};

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

pub(super) trait Reread: Send + Sync {
    fn reread(&self) -> Option<Reading>;
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
pub(super) static LIVING: Mutex<Vec<Weak<dyn Reread>>> = Mutex::new(Vec::new());

/// Reads all files again; returns those components whose files have changed or are of no use.
pub fn reread() -> Vec<Reading> {
    let living: Vec<Arc<dyn Reread>> = lock(&LIVING).iter().filter_map(Weak::upgrade).collect();
    living.iter().filter_map(|side| side.reread()).collect()
}

impl<C: Send + Sync + 'static> Side<C> {
    fn new(owner: &str, options: Options, make: fn(&Options) -> Result<Made<C>, Fault>) -> Arc<Side<C>> {
        let now = Mutex::new(make(&options));
        let side = Arc::new(Side { owner: owner.to_owned(), options, make, now });
        let weak: Weak<Side<C>> = Arc::downgrade(&side);
        let mut living = lock(&LIVING);
        // A sink whose files are missing tries for as long as that takes.
        living.retain(|side| side.strong_count() > 0);
        living.push(weak);
        drop(living);
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

    /// Whether clients that one of them has let in can go on with the other.
    pub fn asks_the_same(&self, other: &Server) -> bool {
        let asked = |s: &Server| {
            let o = s.0.options.clone();
            (o.client_auth, o.trust, o.lists)
        };
        asked(self) == asked(other)
    }

    /// A session for a connection that came in.
    pub fn accept(&self) -> Result<Session, String> {
        let c =
            rustls::ServerConnection::new(self.0.config().map_err(|f| f.why)?).map_err(|e| explain(&e))?;
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
            .map_err(|e| explain(&e))?;
        Ok(Session::new(c.into()))
    }
}

fn server(options: &Options) -> Result<Made<ServerConfig>, Fault> {
    let identity = options.identity.as_ref();
    let identity = identity.ok_or_else(|| Fault::new(What::Identity, "a server needs a certificate"))?;
    let mut files = Vec::new();
    let (chain, key) = stores::identity(identity, &mut files)?;
    let provider = provider(&options.lists).map(Arc::new)?;
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
        builder.with_single_cert(chain, key).map_err(|e| Fault::new(What::Identity, explain_own(&e)))?;
    if options.is_silent {
        config.send_tls13_tickets = 0;
    }
    Ok(Made { config: Arc::new(config), files })
}

fn client(options: &Options) -> Result<Made<ClientConfig>, Fault> {
    let mut files = Vec::new();
    let roots = match options.trust {
        Trust::Anyone => stores::Roots::default(),
        _ => stores::roots(&options.trust, &mut files)?,
    };
    let provider = provider(&options.lists).map(Arc::new)?;
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
                .map_err(|e| Fault::new(What::Identity, explain_own(&e)))?
        }
    };
    Ok(Made { config: Arc::new(config), files })
}
