//! The keys of TLS on the side that connects, and what they come to. They mean nothing without `ssl = true`, as in Flume.
//! Files are not looked at here: what is wrong with them shows when it is connected. Plain data.

use crate::config::{Context, Default, Key, Type};
use crate::tls::{Identity, Lists, Options, StoreFile, Trust, What};
use std::path::PathBuf;

const TYPES: &[&str] = &["JKS", "PKCS12", "PEM"];
const BY_CONTENT: &str =
    "JKS, PKCS12 or PEM; what the file is shows in the file, and JKS is told how to be converted";

pub const TLS: &[Key] = &[
    Key::new("ssl", Type::Bool, Default::Is("false"), "TLS, to a server that has it"),
    Key::new(
        "trust-all-certs",
        Type::Bool,
        Default::Is("false"),
        "take anybody's certificate for the server's",
    ),
    Key::new(
        "truststore",
        Type::Path,
        Default::Computed("what the system trusts"),
        "file of the certificates that are trusted, themselves and what they have signed: PKCS#12 or PEM",
    ),
    Key::new("truststore-password", Type::Text, Default::None, "of a PKCS#12 truststore"),
    Key::new("truststore-type", Type::Text, Default::None, BY_CONTENT),
    Key::new(
        "verify-hostname",
        Type::Bool,
        Default::Is("false"),
        "whether the server's certificate has to bear the name that is connected to; Flume does not look",
    ),
    Key::new(
        "keystore",
        Type::Path,
        Default::None,
        "file of our own certificate and its key, for a server that asks: PKCS#12 or PEM",
    ),
    Key::new("keystore-password", Type::Text, Default::None, "of a PKCS#12 keystore"),
    Key::new("keystore-type", Type::Text, Default::None, BY_CONTENT),
    Key::new(
        "certificate",
        Type::Path,
        Default::None,
        "PEM file of our own certificate, in place of a keystore",
    ),
    Key::new("private-key", Type::Path, Default::None, "PEM file of its key"),
    Key::new(
        "include-protocols",
        Type::Text,
        Default::Computed("TLSv1.2 TLSv1.3"),
        "versions, with blanks or commas between",
    ),
    Key::new("exclude-protocols", Type::Text, Default::None, "versions that are not to be used"),
    Key::new(
        "include-cipher-suites",
        Type::Text,
        Default::Computed("all there are"),
        "cipher suites, with blanks or commas between",
    ),
    Key::new("exclude-cipher-suites", Type::Text, Default::None, "cipher suites that are not to be used"),
];

/// What is wrong with them.
pub fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    if !ctx.flag("ssl") {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if let Some(fault) = lists(ctx).fault() {
        wrong.push((list_key(fault.what, |key| ctx.is_given(key)), fault.why));
    }
    for (one, other) in [("certificate", "private-key"), ("private-key", "certificate")] {
        if ctx.text(one).is_some() && ctx.text(other).is_none() {
            wrong.push((one, format!("needs {other}, a PEM file too")));
        }
    }
    wrong
}

/// What is odd about them.
pub fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    if !ctx.flag("ssl") {
        return Vec::new();
    }
    let mut odd = Vec::new();
    for (what, why) in lists(ctx).doubts() {
        // Only those that are included can be in doubt.
        odd.push((list_key(what, |_| true), why));
    }
    for key in ["truststore-type", "keystore-type"] {
        let is_one = |name: &str| TYPES.iter().any(|t| t.eq_ignore_ascii_case(name));
        if let Some(name) = ctx.text(key).filter(|name| !is_one(name)) {
            odd.push((key, format!("'{name}' is none of {}: ignored", TYPES.join(", "))));
        }
    }
    if ctx.text("certificate").is_some() && ctx.text("keystore").is_some() {
        odd.push(("keystore", "means nothing beside certificate and private-key".to_owned()));
    }
    if !ctx.is_given("verify-hostname") && !ctx.flag("trust-all-certs") {
        let why = "is not given: any certificate that is trusted is taken for the server's, whatever host name it bears, \
                   as in Flume; true compares the name with the one that is connected to, false does not say this again";
        odd.push(("verify-hostname", why.to_owned()));
    }
    odd
}

/// What they come to; `None` without TLS.
pub fn options(ctx: &Context) -> Option<Options> {
    if !ctx.flag("ssl") {
        return None;
    }
    let path = |key| ctx.text(key).map(PathBuf::from);
    let store = |key, password| {
        let password = ctx.text(password).unwrap_or_default().to_owned();
        path(key).map(|path| StoreFile { path, password })
    };
    let identity = match (path("certificate"), path("private-key")) {
        (Some(certificate), Some(key)) => Some(Identity::Pem { certificate, key }),
        _ => store("keystore", "keystore-password").map(Identity::Store),
    };
    let trust = match ctx.flag("trust-all-certs") {
        true => Trust::Anyone,
        false => store("truststore", "truststore-password").map_or(Trust::System, Trust::Store),
    };
    let verify_hostname = ctx.flag("verify-hostname");
    Some(Options { identity, trust, verify_hostname, lists: lists(ctx), ..Options::default() })
}

fn lists(ctx: &Context) -> Lists {
    let names = |key| {
        let between = |c: char| c.is_whitespace() || c == ',';
        let list = ctx.text(key).unwrap_or_default().split(between);
        list.filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    Lists {
        include_protocols: names("include-protocols"),
        exclude_protocols: names("exclude-protocols"),
        include_suites: names("include-cipher-suites"),
        exclude_suites: names("exclude-cipher-suites"),
    }
}

/// The list to blame: of those that are given the one that includes.
fn list_key(what: What, is_given: impl Fn(&str) -> bool) -> &'static str {
    let (include, exclude) = match what {
        What::Suites => ("include-cipher-suites", "exclude-cipher-suites"),
        _ => ("include-protocols", "exclude-protocols"),
    };
    if is_given(include) {
        include
    } else {
        exclude
    }
}

#[cfg(test)]
mod tests;
