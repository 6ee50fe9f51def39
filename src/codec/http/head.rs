//! The head of a request: what it says, and whether its framing can be trusted (RFC 9112).
//!
//! ```text
//!   request = method SP target SP "HTTP/1." ( "0" / "1" ) CRLF *( name ":" value CRLF ) CRLF [ body ]
//! ```
//! Nothing is repaired. Whatever two readers of one stream could understand in two ways is refused, and the connection
//! ends with it: two Content-Length even if they are equal (6.3), Content-Length beside
//! Transfer-Encoding, a transfer coding that is not chunked alone, folded lines and blanks before a colon (5), a missing
//! or second Host (3.2). Pure.

use httparse::{Error, Header, Status};
use std::mem::MaybeUninit;

/// Header lines of one request.
pub const MOST_HEADERS: usize = 128;

/// Where a head's header lines are noted.
pub type Room<'a> = [MaybeUninit<Header<'a>>; MOST_HEADERS];

pub fn room<'a>() -> Room<'a> {
    [const { MaybeUninit::uninit() }; MOST_HEADERS]
}

/// Why a request is answered with this status without a handler having seen it.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Refused {
    pub status: u16,
    pub why: String,
}

impl Refused {
    pub fn new(status: u16, why: impl Into<String>) -> Refused {
        Refused { status, why: why.into() }
    }
}

pub(super) fn bad<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::new(400, why))
}

/// How a body is coded (RFC 9110, 8.4.1).
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Length {
    Bytes(u64),
    Chunked,
}

/// What a head says.
pub struct Head<'h, 'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'h [Header<'a>],
    pub length: Length,
    /// `None`: one that is not known.
    pub coding: Option<Coding>,
    /// The client waits to be told to go on.
    pub expects_continue: bool,
    /// What else is expected, which nobody here can do.
    pub expects_other: bool,
    pub manner: Manner,
}

/// How a request wants to be answered.
#[derive(Debug, PartialEq, Eq, Clone, Copy, Default)]
pub struct Manner {
    /// The connection ends with the answer.
    pub close: bool,
    /// HTTP/1.0: who wants to go on has to say so, and is told.
    pub is_old: bool,
    /// HEAD: the answer has no body.
    pub is_head: bool,
    /// Reasons are wanted as JSON.
    pub as_json: bool,
}

/// What is asked of every request, beside being one.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Whether HTTP/1.1 has to say its host (RFC 9112, 3.2).
    pub needs_host: bool,
}

/// Parses a head, of which all is there and nothing more.
pub fn parse<'h, 'a>(bytes: &'a [u8], room: &'h mut Room<'a>, rules: Rules) -> Result<Head<'h, 'a>, Refused> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(n)) if n == bytes.len() => {}
        Ok(_) => return bad("no HTTP head"),
        Err(e) => return Err(malformed(e, bytes)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return bad("no HTTP head");
    };
    let headers: &'h [Header<'a>] = request.headers;
    let (path, query) = target_of(method, target)?;
    let is_old = minor == 0;
    let mut head = Head {
        method,
        path,
        query,
        headers,
        length: Length::Bytes(0),
        coding: Some(Coding::Identity),
        expects_continue: false,
        expects_other: false,
        manner: Manner { close: is_old, is_old, is_head: method == "HEAD", as_json: false },
    };
    head.read_headers(rules)?;
    Ok(head)
}

impl Head<'_, '_> {
    fn read_headers(&mut self, rules: Rules) -> Result<(), Refused> {
        let is_old = self.manner.is_old;
        let (mut length, mut transfer, mut hosts) = (None, Vec::new(), 0);
        let (mut close, mut keep) = (false, false);
        for h in self.headers {
            let is = |name: &str| h.name.eq_ignore_ascii_case(name);
            // Most names differ in length from all of these.
            match h.name.len() {
                4 if is("host") => {
                    hosts += 1;
                    if h.value.iter().any(|b| b" \t/?#@,".contains(b)) {
                        return bad("Host is no host");
                    }
                }
                6 if is("accept") => self.manner.as_json |= lists(h.value, b"application/json"),
                6 if is("expect") && !is_old => {
                    match h.value.trim_ascii().eq_ignore_ascii_case(b"100-continue") {
                        true => self.expects_continue = true,
                        false => self.expects_other = true,
                    }
                }
                10 if is("connection") => {
                    close |= lists(h.value, b"close");
                    keep |= lists(h.value, b"keep-alive");
                }
                14 if is("content-length") => {
                    let n = number(h.value)?;
                    if length.replace(n).is_some() {
                        return bad("two Content-Length");
                    }
                }
                16 if is("content-encoding") => {
                    self.coding = match (self.coding, coding(h.value)) {
                        (Some(Coding::Identity), next) => next,
                        (before, Some(Coding::Identity)) => before,
                        _ => None,
                    };
                }
                17 if is("transfer-encoding") => {
                    transfer.extend(h.value.split(|b| *b == b',').map(<[u8]>::trim_ascii));
                }
                _ => {}
            }
        }
        if hosts > 1 || (hosts == 0 && !is_old && rules.needs_host) {
            return bad(if hosts > 1 { "two Host" } else { "no Host" });
        }
        self.manner.close = close || (is_old && !keep);
        let has_transfer = self.headers.iter().any(|h| h.name.eq_ignore_ascii_case("transfer-encoding"));
        match (length, has_transfer) {
            (Some(n), false) => self.length = Length::Bytes(n),
            (None, false) => {}
            (Some(_), true) => return bad("Content-Length beside Transfer-Encoding"),
            (None, true) if is_old => return bad("Transfer-Encoding in HTTP/1.0"),
            (None, true) => {
                chunked(&transfer)?;
                self.length = Length::Chunked;
            }
        }
        Ok(())
    }

    pub fn has_body(&self) -> bool {
        self.length != Length::Bytes(0)
    }
}

/// What a transfer coding has to be: `chunked`, once and alone (RFC 9112, 6.1).
fn chunked(codings: &[&[u8]]) -> Result<(), Refused> {
    let is_chunked = |c: &&[u8]| c.eq_ignore_ascii_case(b"chunked");
    match codings {
        [one] if is_chunked(one) => Ok(()),
        [front @ .., last] if is_chunked(last) && !front.iter().any(|c| is_chunked(c) || c.is_empty()) => {
            Err(Refused::new(501, "a transfer coding beside chunked"))
        }
        all if all.iter().any(|c| c.to_ascii_lowercase().windows(7).any(|w| w == b"chunked")) => {
            bad("Transfer-Encoding does not end with chunked")
        }
        [] | [b""] => bad("an empty Transfer-Encoding"),
        _ => Err(Refused::new(501, "a transfer coding that is not chunked")),
    }
}

fn malformed(e: Error, bytes: &[u8]) -> Refused {
    let why = match e {
        Error::TooManyHeaders => {
            return Refused::new(431, format!("more than {MOST_HEADERS} header lines"));
        }
        Error::Version if bytes.starts_with(b"PRI * HTTP/2.0\r\n") => {
            return Refused::new(505, "HTTP/2, of which this port speaks nothing: it speaks HTTP/1.1");
        }
        Error::Version if names_a_version(bytes) => {
            return Refused::new(505, "neither HTTP/1.1 nor HTTP/1.0");
        }
        Error::HeaderName => "no header line: blanks before a name or its colon, or bytes no name has",
        Error::HeaderValue => "a header value with control characters",
        Error::NewLine => "a CR alone",
        Error::Token | Error::Status | Error::Version => "no request line",
    };
    Refused::new(400, why)
}

/// Whether a request line is one, of a version that is not ours.
fn names_a_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let mut words = line.split(|b| *b == b' ').skip(2);
    words.next().is_some_and(|v| v.starts_with(b"HTTP/")) && words.next().is_none()
}

/// Path and query of a target (RFC 9112, 3.2).
fn target_of<'a>(method: &str, target: &'a str) -> Result<(&'a str, &'a str), Refused> {
    let relative = match target.split_once("://") {
        Some((scheme, rest)) if !target.starts_with('/') => {
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return bad("a target of another scheme");
            }
            let at = rest.find(['/', '?']).unwrap_or(rest.len());
            &rest[at..]
        }
        _ if target.starts_with('/') => target,
        _ if target == "*" && method == "OPTIONS" || method == "CONNECT" => target,
        _ => return bad("a target that is no path"),
    };
    let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
    Ok((if path.is_empty() { "/" } else { path }, query))
}

/// Content-Length: digits, and nothing else.
fn number(value: &[u8]) -> Result<u64, Refused> {
    let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
    match digits.map(str::parse) {
        Some(Ok(n)) => Ok(n),
        Some(Err(_)) if value.len() > 19 => Err(Refused::new(413, "a body of more bytes than there are")),
        _ => bad("Content-Length is no number"),
    }
}

fn coding(value: &[u8]) -> Option<Coding> {
    let is = |name: &[u8]| value.trim_ascii().eq_ignore_ascii_case(name);
    match () {
        () if is(b"") || is(b"identity") => Some(Coding::Identity),
        () if is(b"gzip") || is(b"x-gzip") => Some(Coding::Gzip),
        () if is(b"deflate") => Some(Coding::Deflate),
        () => None,
    }
}

/// Whether a list has this word, with whatever parameters.
fn lists(value: &[u8], word: &[u8]) -> bool {
    let words = value.split(|b| *b == b',');
    words
        .map(|w| w.split(|b| *b == b';').next().unwrap_or(w))
        .any(|w| w.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
