use super::*;
use crate::event::{Body, Buffer};

/// One event of each word of the body; words that ask for an error get it.
struct Words {
    may_block: bool,
}

impl HttpHandler for Words {
    fn handle(&self, request: &Request<'_>, _: BatchLimits, batch: &mut Batch) -> Result<(), HandlerError> {
        for word in String::from_utf8_lossy(request.body.bytes()).split_whitespace() {
            batch.push(Body::Copy(word.as_bytes()));
            let why = "as asked".to_owned();
            return Err(match word {
                "400" => HandlerError::BadRequest(why),
                "413" => HandlerError::TooLarge(why),
                "415" => HandlerError::UnsupportedMediaType(why),
                "500" => HandlerError::Internal(why),
                "503" => HandlerError::Unavailable { why, retry_after: Duration::from_millis(1500) },
                _ => continue,
            });
        }
        Ok(())
    }

    fn may_block(&self) -> bool {
        self.may_block
    }
}

const MOST: Most = Most { head: 8192, body: 4 << 20 };
const LIMITS: BatchLimits = BatchLimits { events: 100, bytes: usize::MAX };

fn conversation(may_block: bool) -> Conversation {
    Conversation::new(Arc::new(Words { may_block }), MOST, Arc::default())
}

/// Feeds bytes; each call's events and refusal, and how it ended.
fn feed(c: &mut Conversation, bytes: &[u8]) -> (Vec<(usize, Option<Refusal>)>, Then) {
    let buffer = Buffer::owned(bytes.to_vec());
    let (mut from, mut calls) = (0, Vec::new());
    loop {
        let mut batch = Batch::new();
        let chunk = Chunk { buffer: &buffer, from, to: buffer.len() };
        let done = c.decode(&chunk, false, LIMITS, &mut batch);
        from += done.used;
        match done.then {
            Then::Call(call) => calls.push((batch.len(), call.refused)),
            Then::Work(work) => {
                let call = (work.run)(&mut batch);
                calls.push((batch.len(), call.refused));
            }
            other => return (calls, other),
        }
    }
}

fn answer(c: &mut Conversation, outcome: Outcome<'_>) -> (String, After) {
    let mut out = Vec::new();
    let after = c.answer(0, outcome, &mut out);
    (String::from_utf8(out).unwrap(), after)
}

fn post(body: &str, more: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n{more}\r\n{body}", body.len()).into_bytes()
}

#[test]
fn errors_of_a_handler_become_statuses_wherever_it_runs() {
    for may_block in [false, true] {
        let mut c = conversation(may_block);
        for (body, line, is_fault) in [
            ("a b c", "HTTP/1.1 200 OK", None),
            ("", "HTTP/1.1 200 OK", None),
            ("a 400", "HTTP/1.1 400 Bad Request", Some(true)),
            ("a 413", "HTTP/1.1 413 Content Too Large", Some(false)),
            ("a 415", "HTTP/1.1 415 Unsupported Media Type", Some(true)),
            ("a 500", "HTTP/1.1 500 Internal Server Error", Some(true)),
            ("a 503", "HTTP/1.1 503 Service Unavailable", Some(true)),
        ] {
            let (calls, then) = feed(&mut c, &post(body, ""));
            assert_eq!(then, Then::NeedMore);
            let [(events, refusal)] = &calls[..] else { panic!("{calls:?}") };
            assert_eq!(refusal.as_ref().map(|r| r.is_fault), is_fault, "{body}");
            assert_eq!(*events, if refusal.is_some() { 0 } else { body.split_whitespace().count() });
            let outcome =
                if is_fault == Some(false) { Outcome::TooLarge("as asked") } else { Outcome::Stored };
            let (text, after) = answer(&mut c, outcome);
            assert!(text.starts_with(line), "{text}");
            assert_eq!(text.ends_with("\r\n\r\nas asked\n"), is_fault.is_some(), "{text}");
            assert_eq!(text.contains("\r\nRetry-After: 2\r\n"), body == "a 503");
            assert_eq!(after, After::Continue);
        }
    }
}

#[test]
fn channels_decide_between_later_and_never() {
    let mut c = conversation(false);
    for (outcome, line) in [
        (Outcome::Refused("channel c1 is full"), "HTTP/1.1 503 Service Unavailable\r\n"),
        (Outcome::TooLarge("more than it takes"), "HTTP/1.1 413 Content Too Large\r\n"),
    ] {
        feed(&mut c, &post("a", "Accept: application/json\r\n"));
        let is_later = matches!(outcome, Outcome::Refused(_));
        let (text, after) = answer(&mut c, outcome);
        assert!(text.starts_with(line) && text.contains("\r\n\r\n{\"error\":\""), "{text}");
        assert_eq!(text.contains("\r\nRetry-After: 1\r\n"), is_later);
        assert_eq!(after, After::Continue);
    }
    // The agent stops while the pool has it.
    let mut c = conversation(true);
    let bytes = post("a", "");
    let buffer = Buffer::owned(bytes);
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let done = c.decode(&chunk, false, LIMITS, &mut Batch::new());
    assert!(matches!(done.then, Then::Work(_)));
    assert!(answer(&mut c, Outcome::Refused("the agent stops")).0.starts_with("HTTP/1.1 503 "));
}

#[test]
fn answers_are_in_the_order_of_requests_with_those_that_say_go_on() {
    let mut c = conversation(false);
    let waits = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    let stream = [&post("a", "")[..], b"DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", waits].concat();
    let (calls, _) = feed(&mut c, &stream);
    assert_eq!(calls.len(), 3);
    assert!(c.is_inside() && c.is_timed());
    assert_eq!(feed(&mut c, b"b").0.len(), 1);
    assert!(!c.is_inside() && !c.is_timed());
    let lines: Vec<String> = (0..4).map(|_| answer(&mut c, Outcome::Stored).0).collect();
    let starts = ["HTTP/1.1 200 ", "HTTP/1.1 405 ", "HTTP/1.1 100 ", "HTTP/1.1 200 "];
    assert!(lines.iter().zip(starts).all(|(l, s)| l.starts_with(s)), "{lines:?}");
    assert!(lines[1].contains("\r\nAllow: GET, HEAD, POST\r\n"));
}

#[test]
fn large_bodies_go_to_the_pool_and_late_ones_are_told() {
    let mut c = conversation(false);
    let buffer = Buffer::owned(post(&"x".repeat(LONG + 1), ""));
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let done = c.decode(&chunk, false, LIMITS, &mut Batch::new());
    let Then::Work(work) = done.then else { panic!("{:?}", done.then) };
    assert!(work.bytes > LONG);
    let mut batch = Batch::new();
    assert_eq!((work.run)(&mut batch).refused, None);
    assert_eq!(batch.get(0).body().len(), LONG + 1);
    assert!(answer(&mut c, Outcome::Stored).0.starts_with("HTTP/1.1 200 "));

    feed(&mut c, b"POST / HTTP/1.1\r\n");
    assert!(c.is_timed());
    let late = String::from_utf8(c.expire()).unwrap();
    assert!(late.starts_with("HTTP/1.1 408 ") && late.contains("\r\nConnection: close\r\n"), "{late}");
    assert!(!c.is_timed());
    assert_eq!(feed(&mut c, b"Host: a\r\n\r\n"), (vec![], Then::NeedMore), "nothing more is read");
}

#[test]
fn who_wants_to_close_is_closed_behind_the_answer() {
    let mut c = conversation(false);
    feed(&mut c, &post("a", "Connection: close\r\n"));
    let (text, after) = answer(&mut c, Outcome::Stored);
    assert!(text.contains("\r\nConnection: close\r\n") && after == After::Close, "{text}");
    let mut c = conversation(false);
    let (calls, then) = feed(&mut c, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\nx");
    let Then::Fail(fault) = then else { panic!("{then:?}") };
    assert!(calls.is_empty() && fault.answer.starts_with(b"HTTP/1.1 413 "), "{fault:?}");
    assert!(fault.reason.contains("maxRequestBytes"));
}
