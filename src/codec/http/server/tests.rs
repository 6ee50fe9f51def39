use super::*;
use flate2::write::GzEncoder;
use std::io::Write;

const MOST: Most = Most { head: 1000, body: 100_000 };

/// What a stream was read as: a line for each request or answer.
fn read(pieces: &[&[u8]]) -> Vec<String> {
    let mut server = Server::new(MOST, Arc::default());
    let (mut left, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        left.extend_from_slice(piece);
        let buffer = Buffer::owned([b"xyz", &left[..]].concat());
        let mut from = 3;
        loop {
            let chunk = Chunk { buffer: &buffer, from, to: buffer.len() };
            let (used, got) = server.decode(&chunk, |r| {
                let body = String::from_utf8_lossy(r.body.bytes()).into_owned();
                let body = if body.len() > 50 { body.len().to_string() } else { body };
                format!("{} {} {} {body}", r.method, r.path, r.header("x").unwrap_or("-"))
            });
            assert!(used <= buffer.len() - from);
            from += used;
            match got {
                Got::NeedMore => break,
                Got::Pause => {}
                Got::Continue => seen.push("continue".to_owned()),
                Got::Request(text, manner) => {
                    seen.push(format!("{text}{}", if manner.close { " close" } else { "" }))
                }
                Got::Refused(r, manner) => {
                    seen.push(format!("{}{}", r.status, if manner.close { " close" } else { "" }))
                }
                Got::Broken(r, manner) => {
                    assert!(manner.close);
                    seen.push(format!("broken {}", r.status));
                }
            }
        }
        left.drain(..from - 3);
    }
    seen
}

/// The same in every cut.
fn cut(stream: &[u8]) -> Vec<String> {
    let whole = read(&[stream]);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    let without = |seen: Vec<String>| seen.into_iter().filter(|l| l != "continue").collect::<Vec<_>>();
    assert_eq!(without(read(&single)), without(whole.clone()));
    for at in 0..stream.len() {
        assert_eq!(without(read(&[&stream[..at], &stream[at..]])), without(whole.clone()), "cut at {at}");
    }
    whole
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzEncoder::new(&mut out, flate2::Compression::new(6)).write_all(text).unwrap();
    out
}

#[test]
fn requests_follow_each_other_in_every_cut() {
    let zipped = gzip(b"zipped");
    let head = |more: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\nX: 1\r\n{more}\r\n").into_bytes();
    let stream = [
        &b"GET /g?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        &head("Content-Length: 4\r\n"),
        b"body\r\n\r\n",
        &head("Transfer-Encoding: chunked\r\n"),
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n",
        &head(&format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", zipped.len())),
        &zipped,
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        &head("Content-Length: 0\r\nConnection: close\r\n"),
        b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    .concat();
    let want =
        ["GET /g - ", "POST /p 1 body", "POST /p 1 abcde", "POST /p 1 zipped", "403", "POST /p 1  close"];
    assert_eq!(cut(&stream), want);
}

#[test]
fn who_waits_to_be_told_is_told_unless_the_body_is_there() {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(read(&[head, b"bo", b"dy"]), ["continue", "POST / - body"]);
    assert_eq!(read(&[&[&head[..], b"body"].concat()]), ["POST / - body"]);
    assert_eq!(read(&[&[&head[..], b"bo"].concat(), b"dy"]), ["POST / - body"]);
    cut(&[&head[..], b"body"].concat());
    let large = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10737418240\r\n\r\n";
    assert_eq!(read(&[large]), ["broken 413"]);
    let other = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(read(&[other]), ["417 close"]);
}

#[test]
fn what_is_refused_with_its_body_ends_the_connection() {
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    for (want, head) in [
        ("405", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("405 close", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        ("405 close", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("403", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("415 close", "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc"),
        ("broken 413", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\nabc"),
        ("broken 400", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
        ("broken 400", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
        ("broken 431", &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1000))),
        ("broken 505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let got = cut(format!("{head}{next}").as_bytes());
        let goes_on = !want.contains(' ');
        assert_eq!(got[0], want, "{head}");
        assert_eq!(got.len(), if goes_on { 2 } else { 1 }, "{head}");
    }
}

#[test]
fn bodies_up_to_the_limit_and_no_further() {
    let post =
        |n: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n));
    for n in [60_000, 70_000, 100_000] {
        let text = post(n);
        for piece in [text.len(), 7000, 999] {
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(piece).collect();
            assert_eq!(read(&pieces), [format!("POST / - {n}")]);
        }
    }
    let chunk = format!("ffff\r\n{}\r\n", "x".repeat(0xffff));
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(&[format!("{head}{chunk}{chunk}").as_bytes()]), ["broken 413"]);
    let bomb = gzip(&vec![0; 100_001]);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    assert_eq!(read(&[head.as_bytes(), &bomb]), ["broken 413"]);
}

#[test]
fn a_small_request_points_into_what_was_read() {
    let buffer = Buffer::owned(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_vec());
    let mut server = Server::new(MOST, Arc::default());
    let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
    let (_, got) = server.decode(&chunk, |r| Arc::ptr_eq(r.body.buffer, &buffer));
    assert_eq!(got, Got::Request(true, Manner::default()));
    let begun = |server: &Server| (server.has_begun(), server.is_inside(), server.held());
    assert_eq!(begun(&server), (false, false, 0));
    let part = Chunk { to: 40, ..chunk };
    assert_eq!(server.decode(&part, |_| ()), (0, Got::NeedMore));
    assert_eq!(begun(&server), (true, false, 0), "it lies where it was read");
    assert!(server.end().close && !server.has_begun());
}
