use super::*;
use crate::client::Client;
use crate::config::testing::context;
use crate::config::{Catalog, Declared, Kind};
use crate::tls::{Identity, StoreFile};

struct NoParts;

impl Catalog for NoParts {
    fn find(&self, _: Kind, _: &str) -> Option<&'static Declared> {
        None
    }
    fn all(&self, _: Kind) -> Vec<&'static Declared> {
        Vec::new()
    }
    fn unsupported(&self, _: Kind, _: &str) -> Option<String> {
        None
    }
}

static DECLARED: Declared = Declared {
    kind: Kind::Client,
    name: "test",
    class: "",
    help: "",
    keys: &[TLS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS],
    batch_key: None,
    check: Some(check),
    advice: None,
    differs: &[],
};

fn of(pairs: &[(&str, &str)]) -> Context {
    context(&DECLARED, &NoParts, pairs).unwrap()
}

/// With `ssl = true`.
fn with(pairs: &[(&'static str, &str)]) -> Context {
    of(&[&[("ssl", "true")], pairs].concat())
}

fn wrong(pairs: &[(&str, &str)]) -> Vec<String> {
    context(&DECLARED, &NoParts, &[&[("ssl", "true")], pairs].concat()).err().unwrap_or_default()
}

/// What is advised for a connection whose host name is nobody's concern.
fn odd(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    advice(&with(&[&[("verify-hostname", "false")], pairs].concat()))
}

#[test]
fn without_ssl_they_mean_nothing() {
    let all = [
        ("certificate", "c.pem"),
        ("include-protocols", "SSLv3"),
        ("truststore-type", "BKS"),
        ("exclude-protocols", "TLSv1.2,TLSv1.3"),
    ];
    let ctx = of(&all);
    assert_eq!((options(&ctx), check(&ctx)), (None, vec![]));
    let told: Vec<&str> = advice(&ctx).into_iter().map(|(key, _)| key).collect();
    assert_eq!(told, ["certificate", "truststore-type", "include-protocols", "exclude-protocols"]);
}

#[test]
fn what_they_come_to() {
    assert_eq!(options(&with(&[])), Some(Options::default()));
    let file = |path: &str, password: &str| StoreFile { path: path.into(), password: password.into() };
    let o = options(&with(&[
        ("truststore", "t.p12"),
        ("truststore-password", "one"),
        ("keystore", "k.p12"),
        ("keystore-password", "two"),
        ("verify-hostname", "true"),
    ]))
    .unwrap();
    assert_eq!(o.trust, Trust::Store(file("t.p12", "one")));
    assert_eq!((o.identity, o.verify_hostname), (Some(Identity::Store(file("k.p12", "two"))), true));
    let pem = [("certificate", "c.pem"), ("private-key", "k.pem"), ("keystore", "k.p12")];
    let o =
        options(&with(&[&pem[..], &[("trust-all-certs", "true"), ("truststore", "t")]].concat())).unwrap();
    assert_eq!(o.trust, Trust::Anyone);
    let own = Identity::Pem { certificate: "c.pem".into(), key: "k.pem".into() };
    assert_eq!(o.identity, Some(own));
    assert_eq!(odd(&pem).iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["keystore"]);
}

#[test]
fn lists_have_blanks_or_commas_between() {
    let lists = |text| lists(&with(&[("exclude-protocols", text)])).exclude_protocols;
    for text in ["TLSv1.1 TLSv1.2", "TLSv1.1,TLSv1.2", " TLSv1.1 ,\tTLSv1.2,"] {
        assert_eq!(lists(text), ["TLSv1.1", "TLSv1.2"], "{text}");
    }
    assert_eq!(lists(""), Vec::<String>::new());
}

#[test]
fn what_leaves_nothing_is_wrong_at_its_key() {
    let said = |pairs: &[(&str, &str)], key: &str, what: &str| {
        let all = wrong(pairs);
        assert!(all.len() == 1 && all[0].contains(key) && all[0].contains(what), "{all:?}");
    };
    said(&[("include-protocols", "TLSv1.1")], ".include-protocols: ", "no protocol is left");
    said(&[("exclude-protocols", "TLSv1.2 TLSv1.3")], ".exclude-protocols: ", "no protocol is left");
    said(&[("include-cipher-suites", "X")], ".include-cipher-suites: ", "no cipher suite is left");
    said(&[("certificate", "c.pem")], ".certificate: ", "needs private-key");
    said(&[("private-key", "c.pem")], ".private-key: ", "needs certificate");
    assert_eq!(wrong(&[("include-protocols", "TLSv1.2")]), Vec::<String>::new());
}

#[test]
fn what_is_odd_is_advised() {
    let one = |pairs: &[(&'static str, &str)], key: &str, what: &str| {
        let all = odd(pairs);
        assert!(all.len() == 1 && all[0].0 == key && all[0].1.contains(what), "{all:?}");
    };
    one(&[("include-protocols", "TLSv1 TLSv1.2")], "include-protocols", "TLSv1 is not there");
    let suites = "TLS_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_128_CBC_SHA";
    one(&[("include-cipher-suites", suites)], "include-cipher-suites", "CBC_SHA is not there");
    one(&[("truststore-type", "BKS")], "truststore-type", "'BKS' is none of JKS, PKCS12, PEM");
    one(&[("keystore-type", "x")], "keystore-type", "ignored");
    let fine = [("truststore-type", "jks"), ("keystore-type", "pkcs12"), ("exclude-protocols", "SSLv3")];
    assert_eq!(odd(&fine), []);
    // Host names: told once, until the key is there.
    let told = advice(&with(&[]));
    assert!(told.len() == 1 && told[0].0 == "verify-hostname", "{told:?}");
    assert_eq!(advice(&with(&[("trust-all-certs", "true")])), []);
}

#[test]
fn clients_have_them_too() {
    let host = [("hosts", "h"), ("hosts.h", "127.0.0.1:1"), ("ssl", "true")];
    assert!(Client::from_properties(host).is_ok());
    let said =
        Client::from_properties(host.into_iter().chain([("include-protocols", "SSLv3")])).err().unwrap();
    assert!(said.len() == 1 && said[0].contains("include-protocols: no protocol is left"), "{said:?}");
}
