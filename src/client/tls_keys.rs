//! The keys of TLS that only the side that connects has, and what all of them come to. They mean nothing without
//! `ssl = true`, as in Flume. Files are not looked at here: what is wrong with them shows when it is connected. Plain data.

use crate::config::{Context, Default, Key, Type};
use crate::tls::{jks, Options, Trust};
use crate::tls_keys::{self, identity, list_key, lists, truststore};

const TRUST_ALL: Key = Key::new(
    "trust-all-certs",
    Type::Bool,
    Default::Is("false"),
    "take anybody's certificate for the server's; without it and a truststore the system says who is trusted",
);

pub const TLS: &[Key] = &[
    Key::new("ssl", Type::Bool, Default::Is("false"), "TLS, to a server that has it"),
    TRUST_ALL,
    Key::new(
        "verify-hostname",
        Type::Bool,
        Default::Is("false"),
        "whether the server's certificate has to bear the name that is connected to; Flume does not look",
    ),
];

/// Those of who sees by a URL whether there is TLS.
pub const HTTPS: &[Key] = &[
    TRUST_ALL,
    Key::new(
        "verify-hostname",
        Type::Bool,
        Default::Is("true"),
        "whether the server's certificate has to bear the name that is connected to",
    ),
];

/// What is wrong with the versions and cipher suites that are named.
pub fn fault_of_lists(ctx: &Context) -> Option<(&'static str, String)> {
    lists(ctx).fault().map(|fault| (list_key(fault.what, ctx), fault.why))
}

/// What they come to where there is TLS.
pub fn https_options(ctx: &Context) -> Options {
    Options {
        identity: identity(ctx).ok().flatten(),
        trust: match ctx.flag("trust-all-certs") {
            true => Trust::Anyone,
            false => truststore(ctx).map_or(Trust::System, Trust::Store),
        },
        verify_hostname: ctx.flag("verify-hostname"),
        lists: lists(ctx),
        ..Options::default()
    }
}

/// What is wrong with them.
pub fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    if !ctx.flag("ssl") {
        return Vec::new();
    }
    fault_of_lists(ctx).into_iter().chain(identity(ctx).err()).collect()
}

/// What is odd about them.
pub fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let mut odd = tls_keys::advice(ctx);
    // What Flume's own default type is shows before it is connected.
    for key in ["keystore", "truststore"] {
        let path = ctx.text(key).filter(|_| ctx.flag("ssl"));
        odd.extend(path.and_then(|path| jks(path.as_ref())).map(|why| (key, why)));
    }
    if ctx.flag("ssl") && !ctx.is_given("verify-hostname") && !ctx.flag("trust-all-certs") {
        let why = "is not given: any certificate that is trusted is taken for the server's, whatever host name it bears, \
                   as in Flume; true compares the name with the one that is connected to, false does not say this again";
        odd.push(("verify-hostname", why.to_owned()));
    }
    odd
}

/// What they come to; `None` without TLS.
pub fn options(ctx: &Context) -> Option<Options> {
    ctx.flag("ssl").then(|| https_options(ctx))
}

#[cfg(test)]
mod tests;
