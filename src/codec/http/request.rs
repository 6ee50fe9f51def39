//! A request as a handler gets it: its head parsed, its body whole, with chunks and content codings undone.
//!
//! Borrowed from the connection. The body is a span of a shared buffer, so that events can point into it.

use crate::codec::Chunk;
use crate::event::Buffer;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

pub use httparse::Header;

pub struct Request<'a> {
    pub method: &'a str,
    /// The target's path as sent: percent signs and all, without the query.
    pub path: &'a str,
    /// What stands behind the target's first `?`, as sent; empty where there is none.
    pub query: &'a str,
    /// In the order sent. Values have no blanks around them and may be any bytes.
    pub headers: &'a [Header<'a>],
    pub body: Chunk<'a>,
}

impl<'a> Request<'a> {
    /// The value of the first header of this name, in any case, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    }

    /// The type of `Content-Type` without its parameters, as sent: `application/json`.
    pub fn media_type(&self) -> Option<&'a str> {
        Some(self.header("content-type")?.split(';').next()?.trim())
    }

    /// The parameter `charset` of `Content-Type`, without quotes.
    pub fn charset(&self) -> Option<&'a str> {
        self.header("content-type")?.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    }

    /// Names and values of the query, percent signs and `+` undone; bytes that are not UTF-8 become U+FFFD.
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        self.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
    }
}

/// A request that outlives what it was read from: its head copied, its body shared.
pub struct Whole {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    buffer: Arc<Buffer>,
    body: Range<usize>,
}

impl Whole {
    pub fn of(request: &Request<'_>) -> Whole {
        let headers = request.headers.iter().map(|h| (h.name.to_owned(), h.value.to_vec())).collect();
        Whole {
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            query: request.query.to_owned(),
            headers,
            buffer: request.body.buffer.clone(),
            body: request.body.from..request.body.to,
        }
    }

    /// Lends the request.
    pub fn lend<T>(&self, to: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(name, value)| Header { name, value }).collect();
        to(&Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: Chunk { buffer: &self.buffer, from: self.body.start, to: self.body.end },
        })
    }
}

/// One name or value of a form-encoded text.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let blanks = text.replace('+', " ");
    Cow::Owned(percent_encoding::percent_decode_str(&blanks).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Buffer;

    #[test]
    fn what_a_handler_asks_of_a_request() {
        let headers = [
            Header { name: "Content-TYPE", value: b"application/json; q=1; Charset=\"utf-16\"" },
            Header { name: "x", value: b"\xff" },
        ];
        let buffer = Buffer::owned(b"[]".to_vec());
        let body = Chunk { buffer: &buffer, from: 0, to: 2 };
        let query = "a=1&b=x%20y+z&&c&d=%ff";
        let request = Request { method: "POST", path: "/", query, headers: &headers, body };
        assert_eq!(request.media_type(), Some("application/json"));
        assert_eq!(request.charset(), Some("utf-16"));
        assert_eq!(request.header("X"), None, "no text");
        let all: Vec<(String, String)> =
            request.parameters().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        let want = [("a", "1"), ("b", "x y z"), ("c", ""), ("d", "\u{fffd}")];
        assert_eq!(all, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
