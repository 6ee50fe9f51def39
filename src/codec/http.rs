//! HTTP/1.1, the server's side (RFC 9112): heads, bodies, answers. Of the http source and of the metrics endpoint.
//!
//! One parser of heads (`head`) serves both. The source has a [`Server`] for each connection; the endpoint needs a head,
//! and a body to throw away ([`parse`]).

mod answer;
mod body;
mod chunked;
mod head;
#[cfg(test)]
mod recorded;
mod request;
mod scan;
mod server;

pub use answer::{put, put_ok, Date, CONTINUE};
pub use head::{Manner, Refused};
pub use request::{Header, Request, Whole};
pub use server::{Got, Most, Server};

use head::{Length, Rules};
use scan::{blank, Scan};

/// What the bytes of a connection begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    NeedMore,
    Request(Asked),
    /// Answer with this status and close.
    Refuse(u16),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// The target without its query.
    pub path: String,
    /// Close after the answer.
    pub close: bool,
    /// Bytes of head and body.
    pub used: usize,
}

/// Parses the request at the front of `bytes`, for who has no use for bodies: they are skipped, by their length. Neither
/// head nor body may be longer than `limit`. Probes may do without a Host.
pub fn parse(bytes: &[u8], limit: usize) -> Parsed {
    match request(bytes, limit) {
        Ok(None) => Parsed::NeedMore,
        Ok(Some(asked)) => Parsed::Request(asked),
        Err(refused) => Parsed::Refuse(refused.status),
    }
}

fn request(bytes: &[u8], limit: usize) -> Result<Option<Asked>, Refused> {
    let blank = blank(bytes);
    let bytes = &bytes[blank..];
    let Some(end) = Scan::default().end(bytes, limit)? else { return Ok(None) };
    let mut room = head::room();
    let head = head::parse(&bytes[..end], &mut room, Rules { needs_host: false })?;
    let body = match head.length {
        Length::Bytes(n) if n <= limit as u64 => n as usize,
        Length::Bytes(_) => return Err(Refused::new(413, "")),
        Length::Chunked => return Err(Refused::new(501, "")),
    };
    let (method, path, close) = (head.method.to_owned(), head.path.to_owned(), head.manner.close);
    let asked = Asked { method, path, close, used: blank + end + body };
    Ok((bytes.len() >= end + body).then_some(asked))
}

/// A whole response. The answer to HEAD is this without its body.
pub fn response(status: u16, content_type: &str, body: &[u8], close: bool) -> Vec<u8> {
    let connection = if close { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        answer::reason(status),
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::super::feed::Random;
    use super::*;

    fn request(bytes: &[u8]) -> Asked {
        match parse(bytes, 4096) {
            Parsed::Request(r) => r,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_proper_prefix_needs_more() {
        let whole: &[u8] = b"POST /metrics?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        for at in 0..whole.len() {
            assert_eq!(parse(&whole[..at], 4096), Parsed::NeedMore, "{at}");
        }
        let want = Asked { method: "POST".into(), path: "/metrics".into(), close: false, used: whole.len() };
        assert_eq!(request(whole), want);
        assert_eq!(request(&[whole, b"GET / HT"].concat()), want);
    }

    #[test]
    fn the_connection_closes_when_asked_or_old() {
        assert!(!request(b"GET / HTTP/1.1\r\n\r\n").close);
        assert!(request(b"GET / HTTP/1.0\r\n\r\n").close);
        assert!(!request(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").close);
        assert!(request(b"GET / HTTP/1.1\r\nConnection: te, Close\r\n\r\n").close);
    }

    #[test]
    fn bad_and_large_requests_are_refused() {
        for (want, bad) in [
            (400, &b"\x16\x03\x01\x02\x00"[..]),
            (505, b"GET / HTTP/2.0\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"),
            (400, b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            (501, b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ] {
            assert_eq!(parse(bad, 4096), Parsed::Refuse(want), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(b"GET / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 4096), Parsed::Refuse(413));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100));
        assert_eq!(parse(long.as_bytes(), 100), Parsed::Refuse(414));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(head::MOST_HEADERS + 1));
        assert_eq!(parse(many.as_bytes(), 4096), Parsed::Refuse(431));
    }

    #[test]
    fn a_response_is_complete() {
        let want = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        assert_eq!(response(200, "application/json", b"{}", true), want);
    }

    #[test]
    fn no_input_panics() {
        let vectors: [&[u8]; 2] =
            [b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", b"PUT / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody"];
        let mut random = Random(11);
        for _ in 0..4000 {
            let input = random.mutate(&vectors);
            if let Parsed::Request(r) = parse(&input, 60) {
                assert!(r.used <= input.len());
            }
        }
    }
}
