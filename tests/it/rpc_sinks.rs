//! The thrift sink, and TLS of the sinks that speak RPC, from the configuration to the wire; TLS of avro-client.

use crate::downstream::Downstream;
use crate::pki::{Certified, Pki};
use crate::util::{flumed, wait, Agent, Client, Conf, Folder};
use flumed::codec::avro::Status;
use flumed::tls::{ClientAuth, Identity, Options, Server, StoreFile, Trust};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Lines to a sink of this type for this address.
fn agent(kind: &str, to: SocketAddr, sink: &[&str]) -> Agent {
    let (host, port) = (format!("hostname = {}", to.ip()), format!("port = {}", to.port()));
    let keys = [&[host.as_str(), &port], sink].concat();
    Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).sink("k1", kind, "c1", &keys).start()
}

fn put(client: &mut Client, lines: &[&str]) {
    lines.iter().for_each(|line| assert_eq!(client.ask(line), "OK\n"));
}

fn written(folder: &Folder, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn store(folder: &Folder, name: &str, bytes: impl AsRef<[u8]>) -> StoreFile {
    StoreFile { path: written(folder, name, bytes), password: "secret".to_owned() }
}

fn server(folder: &Folder, certified: &Certified, more: Options) -> Server {
    let identity = Some(Identity::Store(store(folder, "server.p12", certified.pkcs12("secret"))));
    Server::new("test", Options { identity, ..more }).unwrap()
}

fn key(name: &str, path: &std::path::Path) -> String {
    format!("{name} = {}", path.display())
}

#[test]
fn thrift_in_both_encodings() {
    for protocol in ["compact", "BINARY"] {
        let to = Downstream::thrift();
        let agent = agent("thrift", to.address, &[&format!("protocol = {protocol}"), "batch-size = 2"]);
        agent.wait_log("sink k1: connected to 127.0.0.1");
        let mut next = to.accept();
        let mut client = agent.connect("r1");
        put(&mut client, &["größe ☃"]);
        assert_eq!(next.call(), ["größe ☃"]);
        // Refused, whichever way: the batch comes again.
        for (status, what) in [(Status::Error, "answered ERROR"), (Status::Failed, "answered FAILED")] {
            next.answer(status);
            agent.wait_log(what);
            assert_eq!(next.call(), ["größe ☃"]);
        }
        next.answer(Status::Ok);
        wait(1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
        assert_eq!(agent.metric("SINK.k1", "EventPossiblyRepeatedCount"), 0);
        assert_eq!(agent.metric("SINK.k1", "ConnectionCreatedCount"), 1);
    }
}

#[test]
fn both_sinks_over_mutual_tls() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let ca = store(&folder, "ca.pem", pki.certificate());
    let own = pki.issue(&["client"]);
    let in_one = store(&folder, "own.p12", own.pkcs12("secret"));
    let pem = written(&folder, "own.pem", own.pem());
    let (certificate, private) =
        (written(&folder, "own.crt", &own.certificate), written(&folder, "own.key", &own.key));
    for (kind, identity) in [
        ("avro", vec![key("keystore", &in_one.path), "keystore-password = secret".to_owned()]),
        ("thrift", vec![key("certificate", &certificate), key("private-key", &private)]),
        ("thrift", vec![key("keystore", &pem)]),
    ] {
        let asking =
            Options { client_auth: ClientAuth::Need, trust: Trust::Store(ca.clone()), ..Options::default() };
        let to = if kind == "thrift" { Downstream::thrift() } else { Downstream::new() };
        let to = to.over(server(&folder, &pki.issue(&["127.0.0.1"]), asking));
        let trusted = key("truststore", &ca.path);
        let mut keys = vec!["ssl = true", &trusted];
        keys.extend(identity.iter().map(String::as_str));
        let mut agent = agent(kind, to.address, &keys);
        let mut next = to.accept();
        let mut client = agent.connect("r1");
        put(&mut client, &["one"]);
        assert_eq!(next.call(), ["one"]);
        next.answer(Status::Ok);
        wait(1, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
        let log = agent.stop();
        // Its goodbye, and the warning that nobody looks at names: once.
        assert_eq!(next.read(&mut [0; 10]).unwrap(), 0);
        assert_eq!(log.matches("verify-hostname").count(), 1, "{log}");
        assert_eq!(log.matches(" WARN").count(), 1, "{log}");
    }
}

#[test]
fn what_is_wrong_with_certificates_is_told_and_tried_again() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let plain = ["ssl = true", "verify-hostname = true"];
    // Nobody has signed it but itself; and it has expired.
    for (certified, what) in [
        (Certified::self_signed(&["127.0.0.1"]), "certificate is not accepted: nobody who is trusted"),
        (pki.issue_expired(&["127.0.0.1"]), "certificate is not accepted: it has expired"),
    ] {
        let to = Downstream::thrift().over(server(&folder, &certified, Options::default()));
        let trusted = key("truststore", &written(&folder, "ca.pem", pki.certificate()));
        let agent = agent("thrift", to.address, &[&plain[..], &[&trusted]].concat());
        assert!(to.accept().read(&mut [0; 10]).is_err());
        let told = agent.wait_log("no TLS with 127.0.0.1");
        assert!(told.contains("sink k1") && told.contains(what), "{told}");
    }
    // A truststore that comes later.
    let alone = Certified::self_signed(&["127.0.0.1"]);
    let to = Downstream::thrift().over(server(&folder, &alone, Options::default()));
    let path = folder.path("later.p12");
    let trusted = key("truststore", &path);
    let keys = [&plain[..], &[&trusted, "truststore-password = secret"]].concat();
    let agent = agent("thrift", to.address, &keys);
    let told = agent.wait_log(": truststore: ");
    assert!(told.contains("later.p12: No such file"), "{told}");
    std::fs::write(&path, alone.trusting("secret")).unwrap();
    let mut next = to.accept();
    let mut client = agent.connect("r1");
    put(&mut client, &["one"]);
    assert_eq!(next.call(), ["one"]);
}

#[test]
fn avro_client_has_the_keys_of_tls() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let to = Downstream::new().over(server(&folder, &pki.issue(&["localhost"]), Options::default()));
    written(&folder, "ca.pem", pki.certificate());
    written(&folder, "lines", "one\n");
    let port = to.address.port();
    let properties = |host: &str| {
        format!(
            "hosts = h\nhosts.h = {host}:{port}\nssl = true\ntruststore = ca.pem\nverify-hostname = true\n"
        )
    };
    written(&folder, "rpc", properties("localhost"));
    let run = || flumed(&folder.path(""), &["avro-client", "-P", "rpc", "-F", "lines"]);
    std::thread::scope(|scope| {
        let running = scope.spawn(run);
        let mut next = to.accept();
        assert_eq!(next.call(), ["one"]);
        next.answer(Status::Ok);
        assert_eq!(running.join().unwrap(), (Some(0), String::new(), String::new()));
        // Another name than the certificate's.
        written(&folder, "rpc", properties("127.0.0.1"));
        let running = scope.spawn(run);
        assert!(to.accept_silent().read(&mut [0; 10]).is_err());
        let (code, _, err) = running.join().unwrap();
        assert!(code == Some(1) && err.contains("not valid for name"), "{err}");
    });
}
