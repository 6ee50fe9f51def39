//! Over TLS, in both protocols.

use super::*;
use crate::client::caller::Protocol;
use crate::client::layers::Order;
use crate::client::testing::pki::{Certified, Pki};
use crate::client::testing::Folder;
use crate::codec::thrift::Encoding;
use crate::tls::{ClientAuth, Identity, Options, StoreFile, Trust};

const PROTOCOLS: [Protocol; 3] =
    [Protocol::Avro, Protocol::Thrift(Encoding::Compact), Protocol::Thrift(Encoding::Binary)];

fn speaks(protocol: Protocol) -> Speaks {
    Speaks { thrift: protocol != Protocol::Avro, ..Speaks::default() }
}

fn trusting(file: StoreFile) -> Options {
    Options { trust: Trust::Store(file), ..Options::default() }
}

fn over_tls(protocol: Protocol, options: &Options) -> Settings {
    Settings { protocol, tls: Some(options.clone()), ..Settings::default() }
}

fn serving(speaks: Speaks) -> Scripted {
    Scripted::with(speaks, |_, peer| peer.serve(Status::Ok))
}

#[test]
fn events_arrive_encrypted() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let options = trusting(f.store("ca.pem", pki.certificate()));
    for protocol in PROTOCOLS {
        let server = serving(speaks(protocol).over_tls(&f, &pki.issue(&["h"]), Options::default()));
        let mut c = open_with(&server, &over_tls(protocol, &options)).unwrap();
        let long = "x".repeat(3_000_000);
        c.append_batch(&batch(&["one", &long])).unwrap();
        // Tickets have come, which are no answer.
        assert!(c.is_usable());
        c.append_batch(&batch(&["two"])).unwrap();
        assert_eq!(server.calls().iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(text(&server.calls()[0][1]) == long);
    }
}

#[test]
fn deflate_goes_below_or_above() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let options = trusting(f.store("ca.pem", pki.certificate()));
    let with = |order| Settings { order, deflate: Some(6), ..over_tls(Protocol::Avro, &options) };
    for order in [Order::Records, Order::Text] {
        let speaks = Speaks { order, ..Speaks::deflate() };
        let server = serving(speaks.over_tls(&f, &pki.issue(&["h"]), Options::default()));
        let mut c = open_with(&server, &with(order)).unwrap();
        c.append_batch(&batch(&["one", &"x".repeat(300_000)])).unwrap();
        assert!(c.is_usable());
        assert_eq!(server.calls()[0].len(), 2);
        // The wrong order is no TLS to the server.
        let other = if order == Order::Text { Order::Records } else { Order::Text };
        let e = open_with(&server, &Settings { connect_timeout: SHORT, ..with(other) }).err().unwrap();
        assert!(e.outcome == NotSent && e.why.contains("no TLS with 127.0.0.1"), "{e}");
        assert!(e.why.ends_with("is compression-order as the server has it?"), "{e}");
    }
}

#[test]
fn certificates_that_are_not_good_enough_are_told() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let options = trusting(f.store("ca.pem", pki.certificate()));
    let named = Options { verify_hostname: true, ..options.clone() };
    for (certified, options, what) in [
        (pki.issue_expired(&["127.0.0.1"]), &options, "it has expired"),
        (
            Pki::new("other").issue(&["127.0.0.1"]),
            &options,
            "nobody who is trusted (truststore) has signed it",
        ),
        (Certified::self_signed(&["127.0.0.1"]), &options, "not accepted"),
        (pki.issue(&["elsewhere"]), &named, "not valid for name"),
    ] {
        for protocol in PROTOCOLS {
            let server = serving(speaks(protocol).over_tls(&f, &certified, Options::default()));
            let e = open_with(&server, &over_tls(protocol, options)).err().unwrap();
            let peer = format!("no TLS with 127.0.0.1:{}: ", server.port);
            assert!(e.outcome == NotSent && e.why.starts_with(&peer) && e.why.contains(what), "{e}");
            assert!(server.calls().is_empty());
            // The server hears why.
            let until = Instant::now() + Duration::from_secs(20);
            while server.refusals().is_empty() {
                assert!(Instant::now() < until);
                std::thread::yield_now();
            }
            assert!(server.refusals()[0].contains("our certificate"), "{:?}", server.refusals());
        }
    }
    // Itself in the truststore, in PKCS#12.
    let alone = Certified::self_signed(&["127.0.0.1"]);
    let pinned = trusting(f.store("alone.p12", alone.trusting("changeit")));
    for options in [pinned.clone(), Options { verify_hostname: true, ..pinned }] {
        let server = serving(Speaks::thrift().over_tls(&f, &alone, Options::default()));
        let mut c = open_with(&server, &over_tls(PROTOCOLS[1], &options)).unwrap();
        c.append_batch(&batch(&["a"])).unwrap();
    }
}

#[test]
fn servers_that_ask_for_certificates_get_one() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let ca = f.store("ca.pem", pki.certificate());
    let asking = Options { client_auth: ClientAuth::Need, ..trusting(ca.clone()) };
    let with = |identity| Options { identity, ..trusting(ca.clone()) };
    let own = pki.issue(&["client"]);
    let (certificate, key) = (f.file("c.pem", &own.certificate), f.file("k.pem", &own.key));
    let good = [
        Identity::Store(f.store("own.p12", own.pkcs12("changeit"))),
        Identity::Store(f.store("own.pem", own.pem())),
        Identity::Pem { certificate, key },
    ];
    let stranger = Identity::Store(f.store("b.pem", Pki::new("other").issue(&["client"]).pem()));
    for protocol in PROTOCOLS {
        for identity in &good {
            let server = serving(speaks(protocol).over_tls(&f, &pki.issue(&["h"]), asking.clone()));
            let mut c = open_with(&server, &over_tls(protocol, &with(Some(identity.clone())))).unwrap();
            c.append_batch(&batch(&["a"])).unwrap();
        }
        // A client of TLS 1.3 hears of it with the first answer. Nothing is stored, and that is known.
        for (identity, what) in [
            (None, "wants a certificate of ours"),
            (Some(stranger.clone()), "does not trust our certificate"),
        ] {
            let server = serving(speaks(protocol).over_tls(&f, &pki.issue(&["h"]), asking.clone()));
            let opened = open_with(&server, &over_tls(protocol, &with(identity)));
            let e = opened.and_then(|mut c| c.append_batch(&batch(&["a"]))).unwrap_err();
            assert_eq!((e.outcome, e.maybe_stored()), (NotSent, 0), "{e}");
            assert!(e.why.contains(what), "{e}");
        }
    }
}

#[test]
fn plain_text_to_a_server_with_tls_is_no_batch() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    for protocol in PROTOCOLS {
        let server = serving(speaks(protocol).over_tls(&f, &pki.issue(&["h"]), Options::default()));
        let opened = open_with(&server, &Settings { protocol, ..Settings::default() });
        let e = opened.and_then(|mut c| c.append_batch(&batch(&["a"]))).unwrap_err();
        assert_eq!((e.outcome, e.maybe_stored()), (NotSent, 0), "{e}");
        assert!(e.why.contains("ssl is to be true on both ends"), "{e}");
    }
}

#[test]
fn files_are_read_with_the_first_connection() {
    let (f, pki) = (Folder::new(), Pki::new("ca"));
    let server = serving(Speaks::thrift().over_tls(&f, &pki.issue(&["h"]), Options::default()));
    let to = Address::new("127.0.0.1", server.port);
    let ca = f.store("ca.pem", "");
    let said = |options: Options, what: &[&str]| {
        let e = Connector::new("test", over_tls(PROTOCOLS[1], &options)).open(&to).err().unwrap();
        assert!(e.outcome == NotSent && what.iter().all(|w| e.why.contains(w)), "{e}");
    };
    said(trusting(ca.clone()), &["cannot connect to 127.0.0.1", ": truststore: ", "ca.pem: neither"]);
    let missing = Some(Identity::Pem { certificate: ca.path.with_extension("no"), key: ca.path.clone() });
    let anyone = Options { trust: Trust::Anyone, ..Options::default() };
    said(Options { identity: missing, ..anyone.clone() }, &[": certificate and private-key: ", "ca.no"]);
    let locked = Some(Identity::Store(f.store("k.p12", pki.issue(&["c"]).pkcs12("other"))));
    said(Options { identity: locked, ..anyone }, &[": keystore: ", "the password is wrong"]);
    // Tried again, and good then.
    let mut connector = Connector::new("test", over_tls(PROTOCOLS[1], &trusting(ca)));
    assert!(connector.open(&to).is_err());
    f.store("ca.pem", pki.certificate());
    connector.open(&to).unwrap().append_batch(&batch(&["a"])).unwrap();
}
