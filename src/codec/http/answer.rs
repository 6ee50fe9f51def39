//! Answers: a status line, the headers that are always there, and a reason for who reads it.
//!
//! ```text
//!   HTTP/1.1 200 OK CRLF  Content-Length: 0 CRLF  Date: ... CRLF  [ Connection: ... CRLF ]  CRLF
//! ```
//! Pure: the time is passed in. The text of a date is kept for a second.

use super::head::Manner;
use std::io::Write;

pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The date of answers (RFC 9110, 5.6.7).
#[derive(Default)]
pub struct Date {
    second: u64,
    text: [u8; 29],
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Date {
    pub fn at(&mut self, epoch_ms: u64) -> &[u8] {
        let second = epoch_ms / 1000;
        if second != self.second || self.text[0] == 0 {
            self.second = second;
            let (day, of_day) = (second / 86_400, second % 86_400);
            let date = crate::codec::civil::date(epoch_ms);
            let [hour, minute, s] = [of_day / 3600, of_day / 60 % 60, of_day % 60];
            let (year, month) = (date.0, MONTHS[usize::from(date.1) - 1]);
            let mut to = &mut self.text[..];
            let name = DAYS[(day % 7) as usize];
            // It fits up to the year 9999, where the calendar ends.
            let _ = write!(to, "{name}, {:02} {month} {year:04} {hour:02}:{minute:02}:{s:02} GMT", date.2);
        }
        &self.text
    }
}

/// Adds the answer to a request whose events are stored.
pub fn put_ok(manner: Manner, date: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(connection(manner));
}

/// Adds an answer with its reason. `more`: further header lines, each with its CRLF.
pub fn put(status: u16, why: &str, more: &str, manner: Manner, date: &[u8], out: &mut Vec<u8>) {
    let (kind, body) = match manner.as_json {
        true => ("application/json", serde_json::json!({ "error": why }).to_string()),
        false => ("text/plain; charset=utf-8", why.to_owned()),
    };
    let end = if body.is_empty() { "" } else { "\n" };
    let length = body.len() + end.len();
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Date: ",
        reason(status)
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(date);
    out.extend_from_slice(connection(manner));
    if !manner.is_head {
        out.extend_from_slice(body.as_bytes());
        out.extend_from_slice(end.as_bytes());
    }
}

/// What is said of the connection, and the end of the head.
fn connection(manner: Manner) -> &'static [u8] {
    match manner {
        Manner { close: true, .. } => b"\r\nConnection: close\r\n\r\n",
        Manner { is_old: true, .. } => b"\r\nConnection: keep-alive\r\n\r\n",
        _ => b"\r\n\r\n",
    }
}

/// The words behind a status, which mean nothing to programs.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_the_rfc_has_them() {
        let mut date = Date::default();
        assert_eq!(date.at(784_111_777_000), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_777_999), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(951_782_400_000), b"Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date.at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(Date::default().at(0), b"Thu, 01 Jan 1970 00:00:00 GMT");
        // Beyond what a calendar has: whatever it says, it says it without a panic.
        date.at(u64::MAX);
    }

    fn text(status: u16, why: &str, manner: Manner) -> String {
        let mut out = Vec::new();
        put(status, why, "", manner, b"now", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn answers_say_what_is_wrong_in_the_form_that_is_wanted() {
        let mut ok = Vec::new();
        put_ok(Manner::default(), b"now", &mut ok);
        assert_eq!(ok, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: now\r\n\r\n");
        let plain =
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\
                     Date: now\r\n\r\nno \"\n";
        assert_eq!(text(400, "no \"", Manner::default()), plain);
        let json = Manner { as_json: true, close: true, ..Manner::default() };
        let want = "Content-Length: 18\r\nDate: now\r\nConnection: close\r\n\r\n{\"error\":\"no \\\"\"}\n";
        assert!(text(400, "no \"", json).ends_with(want), "{}", text(400, "no \"", json));
        let head = Manner { is_head: true, is_old: true, ..Manner::default() };
        let want = "Content-Length: 3\r\nDate: now\r\nConnection: keep-alive\r\n\r\n";
        assert!(text(503, "no", head).ends_with(want));
        assert!(text(403, "", Manner::default()).ends_with("Content-Length: 0\r\nDate: now\r\n\r\n"));
    }
}
