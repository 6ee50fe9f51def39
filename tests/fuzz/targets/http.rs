//! HTTP requests: as the metrics endpoint reads them, where what is decided of a beginning holds when more has come; and
//! as the http source does, cut anywhere.

use super::{choices, choose, chosen, tree, Signature, Target, Verdict};
use crate::feed::{self, Rules};
use crate::mutate;
use crate::random::Random;
use flumed::codec::http::{parse, Got, Manner, Most, Parsed, Refused, Request, Server};
use flumed::codec::{BatchLimits, Call, CallKind, Chunk, Decoded, Fault, Refusal, Then};
use flumed::event::Batch;
use std::sync::Arc;

pub static TARGET: Target = Target {
    name: "http",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run,
};

/// A connection of the source.
pub static SERVER: Target = Target {
    name: "http-server",
    seeds: connections,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 15,
    // An inflating stream has tables and a buffer.
    memory: (64, 4 << 20),
    run: serve,
};

const WORDS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "Expect: 100-continue\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: deflate\r\n",
    "\x1f\u{8b}\x08\0",
    "\x78\u{9c}",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    ";x=y\r\n",
    "ffffffff\r\n",
    "GET ",
    "HEAD ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\n",
    "\r\n\r\n",
    "\n\n",
    "\r\n",
    "Content-Length: ",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "connection: Keep-Alive, x\r\n",
    "Host: a\r\n",
    ": ",
    "\t",
    "?x=1",
];

fn seeds() -> Vec<Vec<u8>> {
    let all = [
        "GET /metrics HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
        "HEAD /x?y=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ];
    let mut all: Vec<Vec<u8>> = all.map(|t| t.as_bytes().to_vec()).into();
    all.push(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(63)).into_bytes());
    all
}

fn run(input: &[u8]) -> Verdict {
    let mut random = Random::of(input);
    let limit = [8192, 100, 1000][random.below(3)];
    let whole = parse(input, limit);
    for _ in 0..8 {
        let to = random.below(input.len() + 1);
        let early = parse(&input[..to], limit);
        if early != Parsed::NeedMore && early != whole {
            return Err(format!("is {early:?} at {to} bytes, but {whole:?} in the end (limit {limit})"));
        }
    }
    let mut s = Signature::default();
    match whole {
        Parsed::NeedMore => {}
        Parsed::Refuse(status) => s.exact(status),
        Parsed::Request(r) if r.used > input.len() => return Err(format!("uses {} bytes", r.used)),
        Parsed::Request(r) => {
            s.exact(r.close);
            s.count(r.used);
            s.count(r.path.len());
            s.count(r.method.len());
        }
    }
    Ok(s)
}

fn connections() -> Vec<Vec<u8>> {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut all = vec![
        format!("{chunked}5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes(),
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n[]\r\nPUT /".to_vec(),
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: deflate\r\nContent-Length: 11\r\n\r\n\x78\x9c\x4b\x4c\x4a\x06\0\x02\x4d\x01\x27"
            .to_vec(),
    ];
    all.extend(super::files_of(&tree("tests/data/http"), ".bin"));
    chosen(all)
}

/// What is made of a request: compared as a call's refusal is.
fn call(text: String) -> Then {
    let refusal = Refusal { why: text, events: 0, is_fault: true };
    Then::Call(Call { kind: CallKind::AppendBatch, refused: Some(refusal) })
}

fn serve(input: &[u8]) -> Verdict {
    let (by, bytes) = choices(input);
    let most = Most { head: choose(by[0], &[8192, 256]), body: choose(by[1], &[1 << 20, 40, 1000]) };
    let make = || {
        let mut server = Server::new(most, Arc::default());
        move |c: &Chunk<'_>, _: bool, _: BatchLimits, _: &mut Batch| {
            let show =
                |r: &Request<'_>| format!("{} {} {:?} {:?}", r.method, r.path, r.headers, r.body.bytes());
            let (used, got) = server.decode(c, show);
            let room = most.head + most.body + (160 << 10);
            assert!(server.held() <= room, "{} bytes held", server.held());
            let refused = |r: Refused, manner: Manner| format!("{} {} {manner:?}", r.status, r.why);
            let then = match got {
                Got::NeedMore => Then::NeedMore,
                // Whether it is said depends on what has come.
                Got::Pause | Got::Continue => Then::Pause,
                Got::Request(text, manner) => call(format!("{text} {manner:?}")),
                Got::Refused(r, manner) => call(refused(r, manner)),
                Got::Broken(r, manner) => {
                    Then::Fail(Fault { reason: refused(r, manner), answer: Vec::new() })
                }
            };
            Decoded { used, then }
        }
    };
    let limits = BatchLimits { events: 1, bytes: 1 };
    feed::agree(make, bytes, limits, Rules { may_leave: true, has_small_batches: false })
}
