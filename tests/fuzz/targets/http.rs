//! Heads of HTTP requests: what is decided of a beginning holds when more has come.

use super::{Signature, Target, Verdict};
use crate::mutate;
use crate::random::Random;
use flumed::codec::http::{parse, Parsed};

pub static TARGET: Target = Target {
    name: "http",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run,
};

const WORDS: &[&str] = &[
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
