//! Events over HTTP/1.1: a request's text, and a connection that sends one after the other.

use crate::event::Images;
use crate::Opts;
use std::io::Write;

/// What a request's body is.
#[derive(Clone, Copy, PartialEq)]
pub enum Body {
    /// An array of what an image is.
    Json,
    /// The images behind each other; each ends its line.
    Lines,
}

/// Appends a request with `k` events from the `n`th on; gives the length of its head.
pub fn request(out: &mut Vec<u8>, o: &Opts, body: Body, img: &Images, n: u64, k: u64) -> usize {
    let kind = match body {
        Body::Json => "application/json; charset=UTF-8",
        Body::Lines => "text/plain; charset=UTF-8",
    };
    let length = k as usize * img.len + if body == Body::Json { k as usize + 1 } else { 0 };
    let at = out.len();
    let mut say = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a Vec takes all");
    say(format_args!("POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: {kind}\r\n", o.path, o.host, o.port));
    if o.ask {
        say(format_args!("Expect: 100-continue\r\n"));
    }
    match o.chunked {
        0 => say(format_args!("Content-Length: {length}\r\n\r\n")),
        _ => say(format_args!("Transfer-Encoding: chunked\r\n\r\n")),
    }
    let head = out.len() - at;
    if o.chunked == 0 {
        events(out, body, img, n, k);
    } else {
        let mut whole = Vec::with_capacity(length);
        events(&mut whole, body, img, n, k);
        for piece in whole.chunks(o.chunked) {
            write!(out, "{:x}\r\n", piece.len()).expect("a Vec takes all");
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
    }
    head
}

fn events(out: &mut Vec<u8>, body: Body, img: &Images, n: u64, k: u64) {
    for i in 0..k {
        if body == Body::Json {
            out.push(if i == 0 { b'[' } else { b',' });
        }
        img.push(out, n + i);
    }
    if body == Body::Json {
        out.push(b']');
    }
}
