use super::super::scan::Scan;
use super::*;

const RULES: Rules = Rules { needs_host: true };

/// The status a head is refused with, or 200.
fn status(text: &[u8]) -> u16 {
    look(text).map_or_else(|r| r.status, |_| 200)
}

/// Method, path, query, length, and manner.
fn look(text: &[u8]) -> Result<(String, Length, Manner), Refused> {
    let end = Scan::default().end(text, 8192)?.expect("a whole head");
    let mut room = room();
    let h = parse(&text[..end], &mut room, RULES)?;
    Ok((format!("{} {} {}", h.method, h.path, h.query), h.length, h.manner))
}

fn with(lines: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    for (want, lines) in [
        (200, "Content-Length: 5\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 6\r\n"),
        (400, "Content-Length: 5\r\nContent-Length: 5\r\n"),
        (400, "Content-Length: 5, 5\r\n"),
        (400, "Content-Length: +5\r\n"),
        (400, "Content-Length: -1\r\n"),
        (400, "Content-Length: 0x5\r\n"),
        (400, "Content-Length: 5 5\r\n"),
        (400, "Content-Length: 5;a\r\n"),
        (400, "Content-Length:\r\n"),
        (400, "Content-Length: \u{661}\r\n"),
        (413, "Content-Length: 99999999999999999999999\r\n"),
        (200, "Transfer-Encoding: chunked\r\n"),
        (200, "transfer-encoding:\t CHUNKED \t\r\n"),
        (400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        (400, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        (400, "Transfer-Encoding: chunked, chunked\r\n"),
        (400, "Transfer-Encoding: chunked, gzip\r\n"),
        (400, "Transfer-Encoding: chunked;q=1\r\n"),
        (400, "Transfer-Encoding: xchunked\r\n"),
        (400, "Transfer-Encoding: \"chunked\"\r\n"),
        (400, "Transfer-Encoding: , chunked\r\n"),
        (400, "Transfer-Encoding:\r\n"),
        (501, "Transfer-Encoding: gzip, chunked\r\n"),
        (501, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        (501, "Transfer-Encoding: identity\r\n"),
        (400, "Transfer-Encoding : chunked\r\n"),
        (400, " Transfer-Encoding: chunked\r\n"),
        (400, "X: a\r\n b\r\n"),
        (400, "X: a\r\n\tTransfer-Encoding: chunked\r\n"),
        (400, "X: a\nY: b\r\n"),
        (400, "X: a\rY: b\r\n"),
        (400, "X: a\r\r\n"),
        (400, "X: a\0b\r\n"),
        (400, "X\0: a\r\n"),
        (400, "X\u{b}: a\r\n"),
        (400, "X: a\u{7f}\r\n"),
        (400, "X\r\n"),
        (400, ": a\r\n"),
        (400, "Host: a\r\n"),
        (400, "Host: b\r\n"),
        (200, "X: \u{e4}\t b\r\nX:\r\nX: \r\n"),
    ] {
        assert_eq!(status(&with(lines)), want, "{lines:?}");
    }
}

#[test]
fn hosts() {
    for (want, head) in [
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (200, "GET / HTTP/1.0\r\n\r\n"),
        (200, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        (200, "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        (400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
        (400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        assert_eq!(status(head.as_bytes()), want, "{head:?}");
    }
}

#[test]
fn request_lines() {
    let line = |line: &str| look(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
    for (text, want) in [
        ("GET /a/b%20c?x=1?y HTTP/1.1", "GET /a/b%20c x=1?y"),
        ("POST http://a.b:80/p?q HTTP/1.1", "POST /p q"),
        ("POST HTTPS://a HTTP/1.1", "POST / "),
        ("POST http://a?q HTTP/1.1", "POST / q"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * "),
        ("CONNECT a:443 HTTP/1.1", "CONNECT a:443 "),
        ("get //a HTTP/1.1", "get //a "),
        ("GET /\u{e4} HTTP/1.1", "GET /\u{e4} "),
    ] {
        assert_eq!(line(text).unwrap().0, want);
    }
    for (want, text) in [
        (400, "GET * HTTP/1.1"),
        (400, "GET a HTTP/1.1"),
        (400, "GET ftp://a/ HTTP/1.1"),
        (400, "GET  / HTTP/1.1"),
        (400, "GET / HTTP/1.1 "),
        (400, "GET /a b HTTP/1.1"),
        (400, "GET /\0 HTTP/1.1"),
        (400, "GET\t/ HTTP/1.1"),
        (400, "GET /"),
        (400, "GET"),
        (400, "G\u{e4}T / HTTP/1.1"),
        (505, "GET / HTTP/2.0"),
        (505, "GET / HTTP/1.2"),
        (400, "GET / http/1.1"),
    ] {
        assert_eq!(line(text).map_or_else(|r| r.status, |_| 200), want, "{text:?}");
    }
    let h2 = look(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_err();
    assert!(h2.status == 505 && h2.why.contains("HTTP/1.1"), "{h2:?}");
    assert_eq!(status("GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n".replace('\u{e4}', "?").as_bytes()), 200);
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "no UTF-8");
}

#[test]
fn manners() {
    let of = |head: &str| look(head.as_bytes()).unwrap().2;
    let lines = |lines: &str| look(&with(lines)).unwrap().2;
    assert_eq!(lines(""), Manner::default());
    assert!(lines("Connection: te, Close\r\n").close);
    assert!(!lines("Connection: keep-alive\r\n").close);
    assert!(lines("Accept: text/html, application/json;q=0.9\r\n").as_json);
    assert!(!lines("Accept: */*\r\n").as_json);
    assert!(of("GET / HTTP/1.0\r\n\r\n").close);
    let old = of("HEAD / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(old, Manner { is_old: true, is_head: true, ..Manner::default() });
    assert!(of("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n").close);
}

#[test]
fn expectations_and_codings() {
    let of = |lines: &str| {
        let text = with(lines);
        let mut room = room();
        let h = parse(&text, &mut room, RULES).unwrap();
        (h.expects_continue, h.expects_other, h.coding)
    };
    assert_eq!(of("Expect: 100-Continue\r\n"), (true, false, Some(Coding::Identity)));
    assert_eq!(of("Expect: 200-ok\r\n"), (false, true, Some(Coding::Identity)));
    for (value, want) in [
        ("gzip", Some(Coding::Gzip)),
        ("X-GZIP", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("identity", Some(Coding::Identity)),
        ("br", None),
        ("gzip, gzip", None),
        ("gzip\r\nContent-Encoding: gzip", None),
        ("identity\r\nContent-Encoding: gzip", Some(Coding::Gzip)),
    ] {
        assert_eq!(of(&format!("Content-Encoding: {value}\r\n")).2, want, "{value}");
    }
}

#[test]
fn header_lines_are_counted() {
    let many = "a: b\r\n".repeat(MOST_HEADERS);
    assert_eq!(status(&with(&many)), 431);
}
