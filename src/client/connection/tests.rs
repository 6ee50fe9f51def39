use super::*;
use crate::client::connector::Connector;
use crate::client::testing::{batch, dead_port, Peer, Scripted, Server, Speaks};
use Outcome::{NotSent, Refused, Unknown};

const SHORT: Duration = Duration::from_millis(200);

fn settings(deflate: Option<u32>) -> Settings {
    Settings { deflate, ..Settings::default() }
}

fn hasty() -> Settings {
    Settings { connect_timeout: SHORT, request_timeout: SHORT, ..Settings::default() }
}

fn open_with(server: &Scripted, settings: &Settings) -> Result<Connection, Error> {
    Connector::new("test", settings.clone()).open(&Address::new("127.0.0.1", server.port))
}

fn open(server: &Scripted) -> Connection {
    open_with(server, &Settings::default()).unwrap()
}

/// What becomes of a call that the server treats in this way, once the handshake is behind it.
fn outcome(settings: &Settings, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Error {
    let server = Scripted::new(move |_, peer| {
        peer.shake();
        if peer.call() == Some(2) {
            script(peer);
        }
    });
    let mut c = open_with(&server, settings).unwrap();
    let e = c.append_batch(&batch(&["a", "b"])).unwrap_err();
    assert_eq!((e.acknowledged, e.failed), (0, 2));
    assert_eq!(c.is_usable(), e.outcome == Refused, "{e}");
    if e.outcome != Refused {
        // Nothing that comes late is taken for its answer.
        assert_eq!(c.append_batch(&batch(&["c"])).unwrap_err().outcome, NotSent);
        assert_eq!(server.calls().len(), 1);
    }
    e
}

#[test]
fn events_arrive_and_are_acknowledged() {
    for level in [None, Some(1), Some(6)] {
        let server = Scripted::with(Speaks { deflate: level.is_some(), ..Speaks::default() }, |_, peer| {
            peer.serve(Status::Ok)
        });
        let mut c = open_with(&server, &settings(level)).unwrap();
        let (first, long) = (batch(&["one", "größe ☃"]), "x".repeat(300_000));
        c.append_batch(&first).unwrap();
        c.append(batch(&["alone"]).get(0)).unwrap();
        c.append_batch(&batch(&[&long])).unwrap();
        c.append_batch(&batch(&[])).unwrap();
        let bodies: Vec<Vec<String>> = server.calls().iter().map(|c| c.iter().map(text).collect()).collect();
        assert_eq!(bodies, [vec!["one".to_owned(), "größe ☃".into()], vec!["alone".into()], vec![long]]);
        assert_eq!(server.calls()[0][1].header("n"), Some("1"));
        assert!(c.is_usable());
    }
}

fn text(event: &crate::codec::feed::Seen) -> String {
    String::from_utf8(event.body.clone()).unwrap()
}

#[test]
fn a_time_out_may_be_endless() {
    let server = Scripted::good();
    let (connect_timeout, request_timeout) = (Duration::MAX, Duration::MAX);
    let endless = Settings { connect_timeout, request_timeout, ..Settings::default() };
    open_with(&server, &endless).unwrap().append_batch(&batch(&["a"])).unwrap();
}

#[test]
fn a_server_that_wants_the_text_gets_it() {
    let none = [&[0u8, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 4, 0, 2][..], &[9; 16], &[0]].concat();
    let server = Scripted::new(move |_, peer| {
        assert_eq!(peer.call(), Some(0));
        peer.send(&none);
        peer.server = Server::new(false);
        peer.serve(Status::Ok);
    });
    open(&server).append_batch(&batch(&["a"])).unwrap();
    assert_eq!(server.calls().len(), 1);
}

#[test]
fn refusals_leave_the_connection_as_it_is() {
    let answered = |answer: fn(&mut Peer)| {
        outcome(&Settings::default(), move |p| {
            answer(p);
            p.hang();
        })
    };
    let e = answered(|p| p.answer(Status::Failed));
    assert!(e.outcome == Refused && e.why.contains("FAILED: its channel is full"), "{e}");
    let e = answered(|p| p.answer(Status::Unknown));
    assert!(e.outcome == Refused && e.why.contains("UNKNOWN"), "{e}");
    // Its own words, in which there may be anything.
    const ERROR: &[u8] = b"\0\0\0\x02\0\0\0\x01\0\0\0\x0e\0\x01\0\x14no room\x1b[1";
    let e = answered(|p| p.send(ERROR));
    assert!(e.outcome == Refused && e.why.ends_with("an error: no room\\u{1b}[1"), "{e}");
    assert_eq!(e.maybe_stored(), 0);
}

#[test]
fn where_no_answer_comes_events_may_be_stored() {
    let said = |script: fn(&mut Peer)| {
        let e = outcome(&Settings::default(), script);
        assert_eq!((e.outcome, e.maybe_stored()), (Unknown, 2), "{e}");
        e.why
    };
    assert!(said(|_| {}).contains("closed the connection without an answer"));
    assert!(said(Peer::reset).contains("reset"));
    let half = said(|p| {
        let answer = p.answer_to(Status::Ok);
        p.send(&answer[..answer.len() / 2]);
    });
    assert!(half.contains("without an answer"), "{half}");
    assert!(said(|p| p.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")).contains("no Avro RPC"));
    assert!(said(|p| p.send(b"\0\0\0\x02\0\0\0\x01\0\0\0\x03\0\0\x08")).contains("makes no sense"));
    assert!(said(|p| p.send(b"\0\0\0\x07\0\0\0\x01\0\0\0\x03\0\0\0")).contains("answered call 7"));
}

#[test]
fn a_call_has_one_deadline() {
    let e = outcome(&hasty(), Peer::hang);
    assert!(e.outcome == Unknown && e.why.contains("no answer within 200 ms"), "{e}");
    // Answered when nobody waits any more.
    let late = |p: &mut Peer| {
        p.hang();
        p.answer(Status::Ok);
    };
    assert_eq!(outcome(&hasty(), late).outcome, Unknown);
    let began = Instant::now();
    let drips = |p: &mut Peer| {
        // A long answer, a byte at a time.
        p.send(b"\0\0\0\x02\0\0\0\x01\0\x3f\xff\xff");
        while p.try_send(b"x") {}
    };
    assert_eq!(outcome(&hasty(), drips).outcome, Unknown);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_was_sent_in_part_is_not_stored() {
    let (_over, is_over) = std::sync::mpsc::channel::<()>();
    let is_over = std::sync::Mutex::new(is_over);
    let server = Scripted::new(move |_, peer| {
        peer.shake();
        // Reads nothing while the test runs.
        let _ = is_over.lock().unwrap().recv();
    });
    let mut c = open_with(&server, &hasty()).unwrap();
    let large = "x".repeat(20 << 20);
    let e = c.append_batch(&batch(&[&large])).unwrap_err();
    assert!(e.outcome == NotSent && e.why.contains("not all could be sent within 200 ms"), "{e}");
    assert!(!c.is_usable() && server.calls().is_empty());
}

#[test]
fn who_speaks_no_avro_is_not_connected_to() {
    let said = |settings: &Settings, script: fn(&mut Peer)| {
        let server = Scripted::new(move |_, peer| {
            peer.piece();
            script(peer);
        });
        let e = open_with(&server, settings).err().unwrap();
        assert_eq!((e.outcome, e.maybe_stored()), (NotSent, 0));
        e.why
    };
    let mail = said(&Settings::default(), |p| p.send(b"220 mail\r\n"));
    assert!(
        mail.starts_with("no Avro RPC with 127.0.0.1:") && mail.ends_with(": it answered \"220 mail\\r\\n\""),
        "{mail}"
    );
    for turned_away in [said(&Settings::default(), |_| {}), said(&Settings::default(), Peer::reset)] {
        assert!(
            turned_away.contains("closed the connection") || turned_away.contains("reset"),
            "{turned_away}"
        );
        assert!(turned_away.contains("compression-type") && turned_away.contains("TLS"), "{turned_away}");
    }
    assert!(said(&hasty(), Peer::hang).contains("no answer within 200 ms"));
    let plain = said(&settings(Some(6)), |p| p.send(b"\0\0\0\x01\0\0\0\x01"));
    assert!(plain.contains("compression-type"), "{plain}");
    let e = Connector::new("test", hasty()).open(&Address::new("127.0.0.1", dead_port())).err().unwrap();
    assert!(e.outcome == NotSent && e.why.contains("refused"), "{e}");
}

#[test]
fn an_end_while_idle_is_noticed() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Ok);
    });
    let mut c = open(&server);
    c.append_batch(&batch(&["a"])).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while c.is_usable() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
}

#[test]
fn answers_to_nothing_end_the_connection() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        let answer = peer.answer_to(Status::Ok);
        peer.send(&[&answer[..], &answer].concat());
        peer.hang();
    });
    let mut c = open(&server);
    c.append_batch(&batch(&["a"])).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while c.is_usable() {
        assert!(Instant::now() < until);
    }
}

#[test]
fn a_batch_beyond_one_call_takes_several() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        for status in [Status::Ok, Status::Failed, Status::Ok, Status::Ok, Status::Ok, Status::Ok] {
            if peer.call().is_none() {
                return;
            }
            peer.answer(status);
        }
    });
    let mut c = open(&server);
    let body = "x".repeat(9 << 20);
    let five = batch(&[body.as_str(); 5]);
    let e = c.append_batch(&five).unwrap_err();
    assert_eq!((e.outcome, e.acknowledged, e.failed, e.maybe_stored()), (Refused, 3, 2, 3));
    c.append_batch(&five).unwrap();
    let sizes: Vec<usize> = server.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 2, 3, 2]);
}

mod thrift;
mod tls;
