//! The keys of TLS that both sides of a connection have, and what they come to.
//!
//! What a file holds says what it is; lists have blanks between their names in a component, commas where they are given
//! for all components (reference, config.md 7). They mean nothing without `ssl = true`. Plain data.

use crate::config::{globals, Context, Default, Key, Type};
use crate::tls::{Doubt, Identity, Lists, StoreFile, What};
use std::path::PathBuf;

const TYPES: &[&str] = &["JKS", "PKCS12", "PEM"];
const BY_CONTENT: &str =
    "JKS, PKCS12 or PEM; what the file is shows in the file, and JKS is told how to be converted";
const WHICH: &str = "versions that are allowed, of TLSv1.3 and TLSv1.2, with blanks or commas between";
const SUITES: &str = "cipher suites that are allowed, by Java's names, with blanks or commas between";

/// Our own certificate.
pub const IDENTITY: &[Key] = &[
    Key::new(
        "keystore",
        Type::Path,
        Default::None,
        "our certificate and its private key: a PKCS#12 or PEM file",
    )
    .global(globals::KEYSTORE),
    Key::new("keystore-password", Type::Text, Default::None, "of a PKCS#12 keystore")
        .global(globals::KEYSTORE_PASSWORD),
    Key::new("keystore-type", Type::Text, Default::None, BY_CONTENT).global(globals::KEYSTORE_TYPE),
    Key::new("certificate", Type::Path, Default::None, "PEM file of our certificate, in place of a keystore"),
    Key::new("private-key", Type::Path, Default::None, "PEM file of its key"),
];

/// Whose certificates are trusted.
pub const TRUST: &[Key] = &[
    Key::new(
        "truststore",
        Type::Path,
        Default::None,
        "certificates that are trusted, themselves and what they have signed: a PKCS#12 or PEM file",
    )
    .global(globals::TRUSTSTORE),
    Key::new("truststore-password", Type::Text, Default::None, "of a PKCS#12 truststore")
        .global(globals::TRUSTSTORE_PASSWORD),
    Key::new("truststore-type", Type::Text, Default::None, BY_CONTENT).global(globals::TRUSTSTORE_TYPE),
];

/// What is to be agreed on.
pub const LISTS: &[Key] = &[
    Key::new("include-protocols", Type::Text, Default::Computed("both"), WHICH)
        .global(globals::INCLUDE_PROTOCOLS),
    Key::new("exclude-protocols", Type::Text, Default::None, "versions that are not to be used")
        .global(globals::EXCLUDE_PROTOCOLS),
    Key::new("include-cipher-suites", Type::Text, Default::Computed("all there are"), SUITES)
        .global(globals::INCLUDE_CIPHER_SUITES),
    Key::new("exclude-cipher-suites", Type::Text, Default::None, "cipher suites that are not to be used")
        .global(globals::EXCLUDE_CIPHER_SUITES),
];

type Finding = (&'static str, String);

/// Our certificate; `None` where there is none. What the component says goes over what is said for all.
pub fn identity(ctx: &Context) -> Result<Option<Identity>, Finding> {
    let path = |key| ctx.text(key).map(PathBuf::from);
    let half = |missing: &str| Err((other(missing), format!("needs {missing}, a PEM file too")));
    match (path("certificate"), path("private-key")) {
        (Some(certificate), Some(key)) => Ok(Some(Identity::Pem { certificate, key })),
        (Some(_), None) => half("private-key"),
        (None, Some(_)) => half("certificate"),
        (None, None) => Ok(store(ctx, "keystore", "keystore-password").map(Identity::Store)),
    }
}

fn other(key: &str) -> &'static str {
    match key {
        "certificate" => "private-key",
        _ => "certificate",
    }
}

/// The key that names our certificate.
pub fn identity_key(ctx: &Context) -> &'static str {
    match ctx.text("certificate") {
        Some(_) => "certificate",
        None => "keystore",
    }
}

pub fn truststore(ctx: &Context) -> Option<StoreFile> {
    store(ctx, "truststore", "truststore-password")
}

fn store(ctx: &Context, key: &str, password: &str) -> Option<StoreFile> {
    let password = ctx.text(password).unwrap_or_default().to_owned();
    ctx.text(key).map(|path| StoreFile { path: path.into(), password })
}

pub fn lists(ctx: &Context) -> Lists {
    let names = |key| {
        let list = ctx.text(key).unwrap_or_default().split(|c: char| c.is_whitespace() || c == ',');
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
pub fn list_key(what: What, ctx: &Context) -> &'static str {
    let (include, exclude) = list_keys(what);
    match ctx.text(include).is_some() {
        true => include,
        false => exclude,
    }
}

fn list_keys(what: What) -> (&'static str, &'static str) {
    match what {
        What::Suites => ("include-cipher-suites", "exclude-cipher-suites"),
        _ => ("include-protocols", "exclude-protocols"),
    }
}

/// What is odd about them, `ssl = true` or not.
pub fn advice(ctx: &Context) -> Vec<Finding> {
    let all = [IDENTITY, TRUST, LISTS].concat();
    let given = all.iter().filter(|k| ctx.is_given(k.name));
    if !ctx.flag("ssl") {
        let why = "means nothing, the connection is not encrypted: ssl = true is missing";
        return given.map(|k| (k.name, why.to_owned())).collect();
    }
    let mut odd: Vec<Finding> = Vec::new();
    for Doubt { what, excludes, why } in lists(ctx).doubts() {
        let (include, exclude) = list_keys(what);
        odd.push((if excludes { exclude } else { include }, why));
    }
    for key in ["truststore-type", "keystore-type"] {
        let is_one = |name: &str| TYPES.iter().any(|t| t.eq_ignore_ascii_case(name));
        if let Some(name) = ctx.text(key).filter(|name| !is_one(name)) {
            odd.push((key, format!("'{name}' is none of {}: ignored", TYPES.join(", "))));
        }
    }
    if ctx.text("certificate").is_some() && ctx.is_given("keystore") {
        odd.push(("keystore", "means nothing beside certificate and private-key".to_owned()));
    }
    odd
}
