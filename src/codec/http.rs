//! HTTP/1.1 requests, as far as the metrics endpoint needs them: the head and a body to throw away.
//!
//! ```text
//!   request = method SP target SP "HTTP/1." ( "0" / "1" ) CRLF *( name ":" value CRLF ) CRLF [ body ]
//! ```
//!
//! RFC 9112. A body is only skipped, by Content-Length (6.2); chunked bodies are refused. A head above the
//! limit is 431, a body above it 413, anything malformed 400. The limit bounds what is parsed anew when a
//! head arrives in drops.

mod request;

pub use request::{Header, Request};

/// More header lines than any client of a metrics page sends.
const MAX_HEADERS: usize = 64;

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

/// Parses the request at the front of `bytes`; neither head nor body may be longer than `limit`.
pub fn parse(bytes: &[u8], limit: usize) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(&bytes[..bytes.len().min(limit)]) {
        Ok(httparse::Status::Complete(n)) => n,
        Ok(httparse::Status::Partial) if bytes.len() < limit => return Parsed::NeedMore,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Parsed::Refuse(431),
        Err(_) => return Parsed::Refuse(400),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Parsed::Refuse(400);
    };
    let Some(framing) = framing(request.headers, minor) else { return Parsed::Refuse(400) };
    if framing.body > limit {
        return Parsed::Refuse(413);
    }
    let used = head + framing.body;
    if bytes.len() < used {
        return Parsed::NeedMore;
    }
    let path = target.split('?').next().unwrap_or(target);
    Parsed::Request(Asked { method: method.to_owned(), path: path.to_owned(), close: framing.close, used })
}

struct Framing {
    body: usize,
    close: bool,
}

/// What the headers say about the body and the connection; `None` when it cannot be followed.
fn framing(headers: &[httparse::Header<'_>], minor: u8) -> Option<Framing> {
    let mut framing = Framing { body: 0, close: minor == 0 };
    let mut length: Option<&[u8]> = None;
    for h in headers {
        if h.name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
        if h.name.eq_ignore_ascii_case("content-length") {
            // Two lengths that differ are how requests are smuggled (RFC 9112, 6.3).
            if length.is_some_and(|l| l != h.value) || !h.value.iter().all(u8::is_ascii_digit) {
                return None;
            }
            length = Some(h.value);
            framing.body = std::str::from_utf8(h.value).ok()?.parse().ok()?;
        }
        if h.name.eq_ignore_ascii_case("connection") {
            for option in h.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    framing.close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && minor == 0 {
                    framing.close = false;
                }
            }
        }
    }
    Some(framing)
}

/// A whole response. The answer to HEAD is this without its body.
pub fn response(status: u16, content_type: &str, body: &[u8], close: bool) -> Vec<u8> {
    let connection = if close { "close" } else { "keep-alive" };
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        reason(status),
        body.len(),
    );
    [head.as_bytes(), body].concat()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
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
        for bad in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(parse(bad, 4096), Parsed::Refuse(400), "{:?}", String::from_utf8_lossy(bad));
        }
        assert_eq!(parse(b"GET / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 4096), Parsed::Refuse(413));
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100));
        assert_eq!(parse(long.as_bytes(), 100), Parsed::Refuse(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
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
