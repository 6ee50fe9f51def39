//! The keys of TLS on a source, and what they come to. Plain data; certificates are read by `check` and by `build`.

use crate::config::{globals, Context, Default, Key, Type};
use crate::tls::{ClientAuth, Fault, Identity, Lists, Options, Server, StoreFile, Trust, What};
use std::path::PathBuf;

pub const KEYS: &[Key] = &[
    Key::new("ssl", Type::Bool, Default::Is("false"), "TLS below everything else; needs a certificate"),
    Key::new("keystore", Type::Path, Default::None, "certificate and private key: a PKCS#12 or PEM file")
        .global(globals::KEYSTORE),
    Key::new("keystore-password", Type::Text, Default::None, "password of a PKCS#12 keystore")
        .global(globals::KEYSTORE_PASSWORD),
    Key::new("keystore-type", Type::Text, Default::None, "type of the keystore")
        .global(globals::KEYSTORE_TYPE)
        .ignored("what is in the file says what it is"),
    Key::new(
        "certificate",
        Type::Path,
        Default::None,
        "instead of keystore: a PEM file, with those up to the issuer",
    ),
    Key::new("private-key", Type::Path, Default::None, "with certificate: its private key, a PEM file"),
    Key::new(
        "client-auth",
        Type::Choice(&["none", "want", "need"]),
        Default::Is("none"),
        "whether clients are asked for a certificate; what they send has to be trusted",
    ),
    Key::new(
        "truststore",
        Type::Path,
        Default::None,
        "whose clients' certificates are trusted: a PKCS#12 or PEM file",
    )
    .global(globals::TRUSTSTORE),
    Key::new("truststore-password", Type::Text, Default::None, "password of a PKCS#12 truststore")
        .global(globals::TRUSTSTORE_PASSWORD),
    Key::new("truststore-type", Type::Text, Default::None, "type of the truststore")
        .global(globals::TRUSTSTORE_TYPE)
        .ignored("what is in the file says what it is"),
    Key::new(
        "include-protocols",
        Type::Text,
        Default::None,
        "of TLSv1.3 and TLSv1.2, those that are allowed",
    )
    .global(globals::INCLUDE_PROTOCOLS),
    Key::new("exclude-protocols", Type::Text, Default::None, "those that are not")
        .global(globals::EXCLUDE_PROTOCOLS),
    Key::new(
        "include-cipher-suites",
        Type::Text,
        Default::None,
        "cipher suites that are allowed, by Java's names",
    )
    .global(globals::INCLUDE_CIPHER_SUITES),
    Key::new("exclude-cipher-suites", Type::Text, Default::None, "those that are not")
        .global(globals::EXCLUDE_CIPHER_SUITES),
];

/// What there is for it, if `ssl = true`: the key at fault and why, otherwise.
fn options(ctx: &Context) -> Option<Result<Options, (&'static str, String)>> {
    ctx.flag("ssl").then(|| {
        let store = |key: &str, password: &str| {
            let password = ctx.text(password).unwrap_or_default().to_owned();
            ctx.text(key).map(|path| StoreFile { path: PathBuf::from(path), password })
        };
        let pem = (ctx.text("certificate"), ctx.text("private-key"));
        let identity = match (store("keystore", "keystore-password"), pem) {
            (Some(file), (None, None)) => Identity::Store(file),
            // What is written for the component goes over what is there for all.
            (_, (Some(certificate), Some(key))) if !ctx.is_given("keystore") => {
                Identity::Pem { certificate: certificate.into(), key: key.into() }
            }
            (Some(_), _) => {
                return Err(("keystore", "keystore, or certificate and private-key, not both".to_owned()))
            }
            (None, (Some(_), None)) => {
                return Err(("private-key", "required key is missing beside certificate".to_owned()))
            }
            (None, (None, Some(_))) => {
                return Err(("certificate", "required key is missing beside private-key".to_owned()))
            }
            (None, (None, None)) | (None, (Some(_), Some(_))) => {
                let why = "required key is missing: ssl = true needs it, or certificate and private-key";
                return Err(("keystore", why.to_owned()));
            }
        };
        let client_auth = match ctx.text("client-auth") {
            Some("need") => ClientAuth::Need,
            Some("want") => ClientAuth::Want,
            _ => ClientAuth::None,
        };
        let trust = match (client_auth, store("truststore", "truststore-password")) {
            (ClientAuth::None, _) => Trust::Anyone,
            (_, Some(file)) => Trust::Store(file),
            (_, None) => {
                return Err((
                    "truststore",
                    "required key is missing: client-auth asks for certificates".to_owned(),
                ))
            }
        };
        Ok(Options {
            identity: Some(identity),
            trust,
            client_auth,
            verify_hostname: false,
            lists: lists(ctx),
        })
    })
}

fn lists(ctx: &Context) -> Lists {
    // Flume: blanks in a component's lists, commas in the global ones.
    let words = |key| {
        let text = ctx.text(key).unwrap_or_default();
        text.split([',', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    Lists {
        include_protocols: words("include-protocols"),
        exclude_protocols: words("exclude-protocols"),
        include_suites: words("include-cipher-suites"),
        exclude_suites: words("exclude-cipher-suites"),
    }
}

fn key_of(what: What) -> &'static str {
    match what {
        What::Identity => "keystore",
        What::Trust => "truststore",
        What::Protocols => "include-protocols",
        What::Suites => "include-cipher-suites",
    }
}

/// What makes TLS impossible: Flume drops the source for it.
pub fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    match options(ctx) {
        None => Vec::new(),
        Some(Err(wrong)) => vec![wrong],
        Some(Ok(options)) => {
            let key = |what| match what {
                What::Identity if ctx.text("keystore").is_none() => "certificate",
                other => key_of(other),
            };
            let fault = Server::new(ctx.name(), options).err();
            fault.map(|Fault { what, why }| (key(what), why)).into_iter().collect()
        }
    }
}

/// Names in lists that stand for nothing.
pub fn advice(ctx: &Context) -> Vec<(&'static str, String)> {
    let doubts = options(ctx).and_then(Result::ok).map(|o| o.lists.doubts()).unwrap_or_default();
    doubts.into_iter().map(|(what, why)| (key_of(what), why)).collect()
}

/// The server's side, if `ssl = true`.
pub fn server(ctx: &Context) -> Option<Server> {
    let options = options(ctx)?.ok()?;
    Some(Server::or_later(&format!("source {}", ctx.name()), options))
}
