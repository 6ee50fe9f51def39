//! Over Thrift.

use super::*;
use crate::client::caller::Protocol;
use crate::codec::thrift::{Encoding, LARGEST};

fn speaking(encoding: Encoding) -> Settings {
    Settings { protocol: Protocol::Thrift(encoding), ..Settings::default() }
}

fn good() -> Scripted {
    Scripted::with(Speaks::thrift(), |_, peer| peer.serve(Status::Ok))
}

/// What becomes of a first call that the server treats in this way.
fn failed(script: fn(&mut Peer)) -> Error {
    let server = Scripted::with(Speaks::thrift(), move |_, peer| {
        if peer.call() == Some(2) {
            script(peer);
        }
    });
    let mut c = open_with(&server, &speaking(Encoding::Compact)).unwrap();
    let e = c.append_batch(&batch(&["a", "b"])).unwrap_err();
    assert_eq!((e.acknowledged, e.failed, c.is_usable()), (0, 2, e.outcome == Refused), "{e}");
    e
}

#[test]
fn events_arrive_in_both_encodings() {
    for encoding in [Encoding::Compact, Encoding::Binary] {
        let server = good();
        let mut c = open_with(&server, &speaking(encoding)).unwrap();
        c.append_batch(&batch(&["one", "größe ☃"])).unwrap();
        c.append(batch(&["alone"]).get(0)).unwrap();
        let long = "x".repeat(300_000);
        c.append_batch(&batch(&[long.as_str(); 20])).unwrap();
        let calls = server.calls();
        assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 20]);
        assert_eq!((text(&calls[0][1]), calls[0][1].header("n")), ("größe ☃".into(), Some("1")));
        assert!(text(&calls[2][19]) == long && c.is_usable());
    }
}

#[test]
fn refusals_leave_the_connection_as_it_is() {
    let said = |script: fn(&mut Peer), what: &str| {
        let e = failed(script);
        assert!(e.outcome == Refused && e.why.contains(what), "{e}");
    };
    said(|p| p.answer_and_hang(Status::Failed), "FAILED: its channel is full");
    said(|p| p.answer_and_hang(Status::Error), "answered ERROR");
    said(|p| p.answer_and_hang(Status::Unknown), "UNKNOWN");
    // An exception, as Flume's handlers end.
    said(
        |p| {
            p.send(b"\0\0\0\x1f\x82\x61\x01\x0bappendBatch\x18\x0bInternal no\x15\x0c\0");
            p.hang();
        },
        "with an error: Internal no",
    );
}

#[test]
fn where_no_answer_comes_events_may_be_stored() {
    let e = failed(|_| {});
    assert_eq!((e.outcome, e.maybe_stored()), (Unknown, 2));
    // Flume closes so upon the other encoding.
    assert!(e.why.contains("same protocol (compact or binary)?"), "{e}");
    assert_eq!(failed(Peer::reset).outcome, Unknown);
    let e = failed(|p| p.send(b"\0\0\0\x05hello"));
    assert!(e.outcome == Unknown && e.why.contains("without a message"), "{e}");
    let server = Scripted::with(Speaks::thrift(), |_, peer| {
        peer.call();
        peer.answer(Status::Ok);
        peer.call();
    });
    let mut c = open_with(&server, &speaking(Encoding::Compact)).unwrap();
    c.append_batch(&batch(&["a"])).unwrap();
    let e = c.append_batch(&batch(&["a"])).unwrap_err();
    // It does speak it.
    assert!(e.outcome == Unknown && !e.why.contains("same protocol"), "{e}");
}

#[test]
fn a_batch_beyond_a_frame_takes_several_and_an_event_none() {
    for encoding in [Encoding::Compact, Encoding::Binary] {
        let server = good();
        let mut c = open_with(&server, &speaking(encoding)).unwrap();
        let body = "x".repeat(LARGEST / 3);
        c.append_batch(&batch(&[body.as_str(); 5])).unwrap();
        assert_eq!(server.calls().iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
        let large = "x".repeat(LARGEST);
        let e = c.append_batch(&batch(&["small", &large])).unwrap_err();
        assert_eq!((e.outcome, e.acknowledged, e.failed), (Outcome::TooLarge, 1, 1));
        assert!(e.why.contains("above the 16384000 bytes of a Thrift frame"), "{e}");
        assert_eq!(c.append(batch(&[&large]).get(0)).unwrap_err().outcome, Outcome::TooLarge);
        // Nothing was sent of it.
        c.append(batch(&["next"]).get(0)).unwrap();
        assert_eq!(server.calls().last().map(Vec::len), Some(1));
    }
}
