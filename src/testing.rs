//! What the unit tests of one's own components need: settings from lines of a properties file, batches from texts and
//! back, bytes through a session as the event loop gives them to it, a request for a handler, a take for a sink.
//!
//! No sockets, no threads, no clock. A test of the whole agent runs one's own binary, as `tests/it/extension.rs` does
//! with the example.

use crate::channel::memory::MemoryChannel;
use crate::channel::{Channel, Limits, Put, Room, Take, Wake};
use crate::codec::http::{Header, Request};
use crate::codec::{BatchLimits, Chunk, Then};
use crate::component::{HandlerError, HttpHandler};
use crate::config::{properties, Context, Declared, Place, Problems};
use crate::counters::ChannelCounters;
use crate::event::{Batch, Body, Buffer, Events, Key};
use crate::net::{After, Outcome, Session};
use crate::Flumed;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limits that no test meets by chance.
pub const WIDE: BatchLimits = BatchLimits { events: 1000, bytes: 1 << 20 };

/// The settings that these lines of a properties file make, each beginning with the component's own key (`port = 0`); or
/// all that is wrong with them, as `flumed check` says it, warnings too. `flumed` knows the components that the settings
/// may name.
///
/// ```
/// # use flumed::config::{Declared, Default, Key, Kind, Type};
/// static DECLARED: Declared = Declared::new(Kind::Sink, "pager", "Wakes people")
///     .keys(&[&[Key::new("number", Type::Text, Default::Required, "whom to call")]]);
///
/// let settings = |lines| flumed::testing::settings(&flumed::Flumed::new(), &DECLARED, lines);
/// assert_eq!(settings("number = 110").unwrap().text("number"), Some("110"));
/// assert_eq!(settings("").unwrap_err(), ["test: pager.number: required key is missing; whom to call"]);
/// ```
pub fn settings(flumed: &Flumed, declared: &'static Declared, lines: &str) -> Result<Context, Vec<String>> {
    let file: Arc<str> = "test".into();
    let mut problems = Problems::default();
    let properties = properties::parse(&file, lines.as_bytes(), &mut problems);
    let place = Place { file, line: 0 };
    let catalog = flumed.components().map_err(<[String]>::to_vec)?;
    let reserved = ["type", "channel", "channels"];
    let made =
        Context::parse(declared, declared.name, &place, &properties, &reserved, catalog, &mut problems);
    match made {
        Ok(made) if problems.is_empty() => Ok(made),
        _ => Err(problems.sorted().iter().map(|p| p.to_string()).collect()),
    }
}

/// Adds an event.
pub fn push(batch: &mut Batch, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
    batch.push(Body::Copy(body.as_ref()));
    for (name, value) in headers {
        let value = batch.store(value.as_bytes());
        batch.push_header(Key::intern(name).expect("there is room for the headers of a test"), value);
    }
}

/// Each event as text: `host=a port=1: body`, and only the body where there are no headers.
pub fn shown(batch: &Batch) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = batch.iter().map(|e| {
        let headers: Vec<String> = e.headers().map(|(k, v)| format!("{}={}", k.name(), text(v))).collect();
        match headers.is_empty() {
            true => text(e.body()),
            false => format!("{}: {}", headers.join(" "), text(e.body())),
        }
    });
    all.collect()
}

/// What a session made of the bytes of its connection.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub struct Talk {
    /// As [`shown`].
    pub events: Vec<String>,
    /// All that it answered.
    pub answers: String,
    /// What was kept at the end for want of more bytes, unless the session ended the connection.
    pub unread: Vec<u8>,
    /// Why it ended the connection, if it did.
    pub ended: Option<String>,
}

/// Gives a session the bytes of a connection in these pieces, then its end, as the event loop does. Every batch is stored
/// at once or, with a reason, refused.
pub fn talk(session: &mut dyn Session, pieces: &[&[u8]], limits: BatchLimits, refused: Option<&str>) -> Talk {
    let mut talk = Talk::default();
    let mut answers = Vec::new();
    let answer = |session: &mut dyn Session, events, answers: &mut Vec<u8>| {
        let outcome = refused.map_or(Outcome::Stored, Outcome::Refused);
        session.answer(events, outcome, answers) == After::Close
    };
    'connection: for (i, piece) in pieces.iter().chain([&&[][..]]).enumerate() {
        talk.unread.extend_from_slice(piece);
        // Bytes in front, as if they belonged to what was read before.
        const BEFORE: &[u8] = b"xyz";
        let buffer = Buffer::owned([BEFORE, &talk.unread[..]].concat());
        let mut from = BEFORE.len();
        loop {
            let mut batch = Batch::new();
            let chunk = Chunk { buffer: &buffer, from, to: buffer.len() };
            let decoded = session.decode(&chunk, i == pieces.len(), limits, &mut batch);
            assert!(decoded.used <= buffer.len() - from, "used more than the chunk");
            assert!(decoded.then != Then::Full || !batch.is_empty(), "full without an event");
            from += decoded.used;
            talk.unread = buffer[from..].to_vec();
            let (mut is_call, mut goes_on, mut fault) = (false, true, None);
            match decoded.then {
                Then::NeedMore => goes_on = false,
                Then::Full | Then::Pause => {}
                Then::Call(_) => is_call = true,
                Then::Work(work) => {
                    (work.run)(&mut batch);
                    is_call = true;
                }
                Then::Fail(why) => fault = Some(why),
            }
            talk.events.extend(shown(&batch));
            let closes = (is_call || !batch.is_empty()) && answer(session, batch.len(), &mut answers);
            if let Some(why) = fault {
                answers.extend(why.answer);
                talk.ended = Some(why.reason);
                break 'connection;
            }
            if closes {
                talk.ended = Some("its answer".to_owned());
                break 'connection;
            }
            if !goes_on {
                break;
            }
        }
    }
    if talk.ended.is_some() {
        talk.unread.clear();
    }
    talk.answers = String::from_utf8_lossy(&answers).into_owned();
    talk
}

/// [`talk`] with the bytes whole, one at a time, cut in two at every place, and in batches of one event. All of that has
/// to come to the same.
pub fn talk_cut(open: impl Fn() -> Box<dyn Session>, bytes: &[u8], refused: Option<&str>) -> Talk {
    let of = |pieces: &[&[u8]], limits| talk(open().as_mut(), pieces, limits, refused);
    let whole = of(&[bytes], WIDE);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(of(&single, WIDE), whole, "byte by byte");
    assert_eq!(of(&[bytes], BatchLimits { events: 1, ..WIDE }), whole, "in batches of one");
    for at in 0..bytes.len() {
        assert_eq!(of(&[&bytes[..at], &bytes[at..]], WIDE), whole, "cut at {at}");
    }
    whole
}

/// What a handler makes of a request: the events, as [`shown`], or why there are none. `target` is path and query.
pub fn handle(
    handler: &dyn HttpHandler,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
    limits: BatchLimits,
) -> Result<Vec<String>, HandlerError> {
    let headers: Vec<Header<'_>> =
        headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let buffer = Buffer::owned(body.as_ref().to_vec());
    let body = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let mut batch = Batch::new();
    handler.handle(&Request { method, path, query, headers: &headers, body }, limits, &mut batch)?;
    Ok(shown(&batch))
}

/// The events of a batch as a sink gets them, out of a memory channel.
pub fn take(batch: Batch) -> Take {
    let most = usize::MAX;
    let limits = Limits {
        capacity: most,
        transaction_capacity: most,
        byte_capacity: most,
        keep_alive: Duration::ZERO,
        durable: false,
    };
    let channel: Arc<dyn Channel> = MemoryChannel::new("test", limits, ChannelCounters::new("test"));
    channel.open().expect("memory opens");
    put(&channel, batch);
    Take::begin(&channel, most, Instant::now(), &AtomicBool::new(false)).expect("memory gives it")
}

/// Puts a batch into a channel that is open and has room.
pub fn put(channel: &Arc<dyn Channel>, batch: Batch) {
    struct Nobody;
    impl Wake for Nobody {
        fn wake(&self) {}
    }
    let events = Events::all(Arc::new(batch));
    let wake: Arc<dyn Wake> = Arc::new(Nobody);
    let put = Put::reserve(channel, Room::of(&events), None).expect("there is room");
    put.append(events, &wake).expect("the channel takes it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Source;
    use crate::config::Kind;
    use crate::registry;

    fn session(kind: &str, lines: &str) -> Box<dyn Session> {
        let spec = *crate::source::ALL.iter().find(|s| s.declared.name == kind).unwrap();
        let ctx = settings(&Flumed::new(), &spec.declared, lines).unwrap();
        let Source::Stream { protocol, .. } = (registry::source(&ctx).unwrap().build)(&ctx) else {
            panic!("no stream")
        };
        let addr = "127.0.0.1:1".parse().unwrap();
        protocol.open(&crate::net::Peer { addr, name: None, is_local: true })
    }

    #[test]
    fn a_session_is_talked_to_as_by_the_loop() {
        let netcat = || session("netcat", "bind = ::\nport = 0\nmax-line-length = 5");
        let talk = talk_cut(netcat, b"a\nbc\nd", None);
        assert_eq!((talk.events.join(" "), talk.answers), ("a bc d".into(), "OK\nOK\nOK\n".into()));
        assert_eq!((talk.ended, talk.unread), (None, vec![]));
        let talk = talk_cut(netcat, b"a\n123456\nb\n", Some("full"));
        assert_eq!(talk.events, ["a"]);
        assert!(talk.answers.starts_with("FAILED: full\nFAILED: Event exceeds"), "{talk:?}");
        assert!(talk.ended.unwrap().contains("maximum length"));
    }

    #[test]
    fn settings_tell_what_is_wrong() {
        let spec = &registry::catalog().find(Kind::Source, "netcat").unwrap();
        let wrong = settings(&Flumed::new(), spec, "type = netcat\nbind = ::\nprot = 1").unwrap_err();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("did you mean port?") || wrong[1].contains("did you mean port?"));
    }

    #[test]
    fn a_batch_is_shown_and_taken() {
        let mut batch = Batch::new();
        push(&mut batch, &[("host", "a"), ("k", "v")], "one");
        push(&mut batch, &[], "two");
        assert_eq!(shown(&batch), ["host=a k=v: one", "two"]);
        let take = take(batch);
        assert_eq!(take.len(), 2);
        take.commit().unwrap();
    }
}
