use super::*;
use crate::client::testing::pki::Pki;
use crate::client::testing::{dead_port, Folder, Peer, Scripted, Speaks};
use crate::client::TLS;
use crate::codec::rpc::Status;
use crate::codec::thrift::Encoding;
use crate::component::Fault;
use crate::config::Type;
use crate::sink::avro::SPEC;
use crate::sink::testing::{build, context, context_of, problems, TestChannel};
use crate::sink::thrift;
use crate::tls::{ClientAuth, Options, Trust};
use crate::tls_keys;

fn sink(port: u16, more: &[(&str, &str)]) -> (Box<dyn Sink>, Arc<SinkCounters>) {
    let port = port.to_string();
    build(&SPEC, &[&[("hostname", "127.0.0.1"), ("port", &port)], more].concat())
}

/// Created, closed, failed.
fn connections(c: &SinkCounters) -> [u64; 3] {
    [c.connection_created.get(), c.connection_closed.get(), c.connection_failed.get()]
}

/// Delivers these lines, and commits if that succeeds.
fn pass(sink: &mut Box<dyn Sink>, channel: &TestChannel) -> Result<(), SinkError> {
    let take = channel.take(sink.batch_size());
    sink.deliver(&take)?;
    take.commit().unwrap();
    Ok(())
}

fn bodies(server: &Scripted) -> Vec<String> {
    let all = server.calls();
    all.iter().flatten().map(|e| String::from_utf8(e.body.clone()).unwrap()).collect()
}

#[test]
fn a_batch_is_a_call() {
    let server = Scripted::good();
    let (mut k, counters) = sink(server.port, &[("batch-size", "3")]);
    k.start().unwrap();
    assert_eq!(connections(&counters), [1, 0, 0]);
    let channel = TestChannel::new(false);
    channel.put_lines(&["a", "b"]);
    channel.put_lines(&["c", "d"]);
    pass(&mut k, &channel).unwrap();
    pass(&mut k, &channel).unwrap();
    assert_eq!(server.calls().iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(bodies(&server), ["a", "b", "c", "d"]);
    assert_eq!(channel.backlog(), 0);
    k.stop().unwrap();
    assert_eq!((connections(&counters), server.connections()), ([1, 1, 0], 1));
}

#[test]
fn deflate_as_the_server() {
    let server = Scripted::with(Speaks::deflate(), |_, peer| peer.serve(Status::Ok));
    let (mut k, _) = sink(server.port, &[("compression-type", "Deflate"), ("compression-level", "9")]);
    let channel = TestChannel::new(false);
    channel.put_lines(&["a"]);
    pass(&mut k, &channel).unwrap();
    assert_eq!(bodies(&server), ["a"]);
}

#[test]
fn who_cannot_be_reached_is_tried_again() {
    let (mut k, counters) = sink(dead_port(), &[]);
    let e = k.start().unwrap_err();
    assert!(e.fault == Fault::Destination && e.why.contains("refused"), "{e}");
    let channel = TestChannel::new(false);
    channel.put_lines(&["a"]);
    let e = pass(&mut k, &channel).unwrap_err();
    assert!(e.fault == Fault::Destination && e.why.contains("refused"), "{e}");
    assert_eq!((connections(&counters), channel.backlog()), ([0, 0, 2], 1));
}

#[test]
fn a_refusal_keeps_the_connection() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Failed);
        peer.serve(Status::Ok);
    });
    let (mut k, counters) = sink(server.port, &[]);
    let channel = TestChannel::new(false);
    channel.put_lines(&["a"]);
    let e = pass(&mut k, &channel).unwrap_err();
    assert!(e.fault == Fault::Unknown && e.why.contains("FAILED"), "{e}");
    pass(&mut k, &channel).unwrap();
    assert_eq!((connections(&counters), server.connections()), ([1, 0, 0], 1));
    assert_eq!(counters.possibly_repeated.get(), 0);
}

#[test]
fn events_without_an_answer_are_counted_and_sent_again() {
    for end in [|_: &mut Peer| {}, Peer::reset] {
        let server = Scripted::new(move |n, peer| {
            peer.shake();
            if n == 0 {
                peer.call();
                end(peer);
            } else {
                peer.serve(Status::Ok);
            }
        });
        let (mut k, counters) = sink(server.port, &[]);
        let channel = TestChannel::new(false);
        channel.put_lines(&["a", "b"]);
        let e = pass(&mut k, &channel).unwrap_err();
        assert_eq!(e.fault, Fault::Destination);
        assert_eq!((connections(&counters), counters.possibly_repeated.get()), ([1, 1, 0], 2));
        pass(&mut k, &channel).unwrap();
        assert_eq!((connections(&counters), counters.possibly_repeated.get()), ([2, 1, 0], 2));
        assert_eq!(bodies(&server), ["a", "b", "a", "b"]);
    }
}

#[test]
fn a_late_answer_is_no_answer() {
    let server = Scripted::new(|n, peer| {
        peer.shake();
        match n {
            0 => {
                peer.call();
                peer.hang();
                peer.answer(Status::Ok);
            }
            _ => peer.serve(Status::Ok),
        }
    });
    let (mut k, counters) = sink(server.port, &[("request-timeout", "1000")]);
    let channel = TestChannel::new(false);
    channel.put_lines(&["a"]);
    let e = pass(&mut k, &channel).unwrap_err();
    assert!(e.fault == Fault::Destination && e.why.contains("no answer within 1000 ms"), "{e}");
    assert_eq!(counters.possibly_repeated.get(), 1);
    pass(&mut k, &channel).unwrap();
    assert_eq!(bodies(&server), ["a", "a"]);
}

#[test]
fn a_connection_that_ended_while_idle_costs_nothing() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Ok);
    });
    let made = context(&SPEC, &[("hostname", "127.0.0.1"), ("port", &server.port.to_string())]);
    let counters = SinkCounters::new("k1");
    let mut k = RpcSink::new(&made, SinkParts { counters: counters.clone() }, Protocol::Avro);
    let channel = TestChannel::new(false);
    for body in ["a", "b", "c"] {
        channel.put_lines(&[body]);
        let take = channel.take(10);
        k.deliver(&take).unwrap();
        take.commit().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while k.open.as_mut().unwrap().0.is_usable() {
            assert!(Instant::now() < until);
        }
    }
    assert_eq!(bodies(&server), ["a", "b", "c"]);
    assert_eq!((connections(&counters), counters.possibly_repeated.get()), ([3, 2, 0], 0));
}

#[test]
fn a_connection_is_given_up_when_its_time_is_over() {
    let server = Scripted::good();
    let (mut k, counters) = sink(server.port, &[("reset-connection-interval", "1")]);
    let channel = TestChannel::new(false);
    let until = Instant::now() + Duration::from_secs(20);
    while counters.connection_created.get() < 2 {
        assert!(Instant::now() < until);
        channel.put_lines(&["a"]);
        pass(&mut k, &channel).unwrap();
    }
    assert_eq!(server.calls().len() as u64, bodies(&server).len() as u64);
    assert_eq!(connections(&counters)[1..], [1, 0]);
}

#[test]
fn settings_fall_back_as_flumes() {
    let bad = [
        ("hostname", "h"),
        ("port", "1"),
        ("batch-size", "0"),
        ("connect-timeout", "999"),
        ("request-timeout", "soon"),
        ("compression-type", "gzip"),
        ("compression-level", "11"),
        ("maxIoWorkers", "x"),
        ("ssl", "false"),
    ];
    let ctx = context(&SPEC, &bad);
    assert_eq!(ctx.size("batch-size"), 100);
    assert_eq!(ctx.duration("connect-timeout"), Some(Duration::from_secs(20)));
    assert_eq!(ctx.duration("request-timeout"), Some(Duration::from_secs(20)));
    assert_eq!((ctx.text("compression-type"), ctx.size("compression-level")), (Some("none"), 6));
}

#[test]
fn without_ssl_the_keys_of_tls_mean_nothing() {
    let with = |key, value| problems(&SPEC, &[("hostname", "h"), ("port", "1"), (key, value)]);
    let all = [TLS, tls_keys::IDENTITY, tls_keys::TRUST, tls_keys::LISTS].concat();
    for key in all.iter().filter(|k| k.name != "ssl") {
        assert_eq!(with(key.name, "true"), Vec::<String>::new());
        let server = [("hostname", "h"), ("port", "1"), ("ssl", "false"), (key.name, "true")];
        let told = client::advise_tls(&context(&SPEC, &server));
        let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
        let expected: &[&str] = if key.ty == Type::Bool { &[] } else { &[key.name] };
        assert_eq!(names, expected);
    }
    assert_eq!(problems(&SPEC, &[]).len(), 2, "hostname and port");
}

#[test]
fn thrift_has_keys_of_its_own() {
    let with = |more: &[(&str, &str)]| {
        let pairs = [&[("hostname", "h"), ("port", "1")], more].concat();
        context_of(&thrift::SPEC.declared, &pairs)
    };
    let protocol = |text| crate::client::thrift(&with(&[("protocol", text)]).unwrap());
    for (text, encoding) in [
        ("compact", Encoding::Compact),
        ("binary", Encoding::Binary),
        ("BINARY", Encoding::Binary),
        ("garbage", Encoding::Compact),
    ] {
        assert_eq!(protocol(text), Protocol::Thrift(encoding), "{text}");
    }
    let fine =
        [("kerberos", "false"), ("maxConnections", "9"), ("client-keytab", "/k"), ("batch-size", "-1")];
    assert_eq!(with(&fine).unwrap().size("batch-size"), 100);
    let said =
        with(&[("kerberos", "true"), ("ssl", "true"), ("private-key", "k"), ("verify-hostname", "false")])
            .err()
            .unwrap();
    assert!(said.len() == 2 && said.concat().contains("no Kerberos here"), "{said:?}");
}

#[test]
fn thrift_over_tls_in_both_encodings() {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let ca = folder.file("ca.pem", pki.certificate());
    let own = folder.file("own.p12", pki.issue(&["client"]).pkcs12("secret"));
    let (ca, own) = (ca.to_str().unwrap(), own.to_str().unwrap());
    let asking = Options {
        client_auth: ClientAuth::Need,
        trust: Trust::Store(folder.store("ca.pem", pki.certificate())),
        ..Options::default()
    };
    for protocol in ["compact", "Binary"] {
        let speaks = Speaks::thrift().over_tls(&folder, &pki.issue(&["localhost"]), asking.clone());
        let server = Scripted::with(speaks, |_, peer| peer.serve(Status::Ok));
        let port = server.port.to_string();
        let keys = [
            ("hostname", "localhost"),
            ("port", &port),
            ("protocol", protocol),
            ("ssl", "true"),
            ("truststore", ca),
            ("keystore", own),
            ("keystore-password", "secret"),
            ("verify-hostname", "true"),
        ];
        let (mut k, counters) = build(&thrift::SPEC, &keys);
        k.start().unwrap();
        let channel = TestChannel::new(false);
        channel.put_lines(&["a", "b"]);
        pass(&mut k, &channel).unwrap();
        assert_eq!((bodies(&server), connections(&counters)), (vec!["a".into(), "b".into()], [1, 0, 0]));
    }
}

#[test]
fn a_truststore_that_is_not_there_is_tried_again() {
    let server = Scripted::good();
    let (mut k, counters) = sink(server.port, &[("ssl", "true"), ("truststore", "/no/such/file")]);
    let e = k.start().unwrap_err();
    assert!(e.fault == Fault::Destination && e.why.contains(": truststore: /no/such/file: "), "{e}");
    assert_eq!((connections(&counters), server.connections()), ([0, 0, 1], 0));
}
