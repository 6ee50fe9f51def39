//! The keys of TLS that only a source has, and what all of them come to. Certificates are read by `check`, as Flume drops a
//! source for those that cannot be, and by `build`.

use crate::config::{Context, Default, Key, Type};
use crate::tls::{ClientAuth, Options, Server, Trust, What};
use crate::tls_keys::{self, identity, identity_key, list_key, lists, truststore};

pub const KEYS: &[Key] = &[
    Key::new("ssl", Type::Bool, Default::Is("false"), "TLS below everything else; needs a certificate"),
    Key::new(
        "client-auth",
        Type::Choice(&["none", "want", "need"]),
        Default::Is("none"),
        "whether clients are asked for a certificate, which the truststore has to trust",
    ),
];

/// What there is for it, if `ssl = true`; or the key at fault and why.
fn options(ctx: &Context) -> Option<Result<Options, (&'static str, String)>> {
    ctx.flag("ssl").then(|| {
        let why = "required key is missing: ssl = true needs it, or certificate and private-key";
        let identity = identity(ctx)?.ok_or(("keystore", why.to_owned()))?;
        let client_auth = match ctx.text("client-auth") {
            Some("need") => ClientAuth::Need,
            Some("want") => ClientAuth::Want,
            _ => ClientAuth::None,
        };
        let trust = match (client_auth, truststore(ctx)) {
            (ClientAuth::None, _) => Trust::Anyone,
            (_, Some(file)) => Trust::Store(file),
            (_, None) => {
                let why = "required key is missing: client-auth asks for certificates";
                return Err(("truststore", why.to_owned()));
            }
        };
        let identity = Some(identity);
        Ok(Options { identity, trust, client_auth, lists: lists(ctx), ..Options::default() })
    })
}

/// What makes TLS impossible.
pub fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let fault = match options(ctx) {
        None => None,
        Some(Err(wrong)) => Some(wrong),
        Some(Ok(options)) => Server::new(ctx.name(), options).err().map(|fault| {
            let key = match fault.what {
                What::Identity => identity_key(ctx),
                What::PrivateKey => "private-key",
                What::Trust => "truststore",
                What::Protocols | What::Suites => list_key(fault.what, ctx),
            };
            (key, fault.why)
        }),
    };
    fault.into_iter().collect()
}

/// What is odd about them.
pub fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut odd = tls_keys::advice(ctx);
    if ctx.flag("ssl") && ctx.text("client-auth") == Some("none") && ctx.is_given("truststore") {
        odd.push((
            "truststore",
            "means nothing: no client is asked for a certificate, client-auth = none".to_owned(),
        ));
    }
    odd
}

/// The server's side, if `ssl = true`. `is_silent`: it never answers.
pub fn server(ctx: &Context, is_silent: bool) -> Option<Server> {
    let options = Options { is_silent, ..options(ctx)?.ok()? };
    Some(Server::or_later(&format!("source {}", ctx.name()), options))
}
