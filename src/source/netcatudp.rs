//! The netcatudp source: datagrams of text, one event each, up to the first newline.
//!
//! Runs on the event loop and answers nothing. Delivery: UDP cannot wait, so datagrams that find no room are dropped
//! and counted as `EventDroppedCount`. An empty datagram, and one that begins with a newline, is an event without a
//! body. Without `remoteAddress` there is no header (Flume stores the sender under a null key, which breaks Avro sinks).

use crate::component::{Source, SourceSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch, Body};
use crate::net::{DatagramProtocol, Peer};
use memchr::memchr;
use std::net::IpAddr;

pub static SPEC: SourceSpec = Spec {
    declared: Declared {
        kind: Kind::Source,
        name: "netcatudp",
        class: "org.apache.flume.source.NetcatUdpSource",
        help: "Datagrams of text, one event each, up to the first newline",
        keys: &[&[
            Key::new(
                "bind",
                Type::Text,
                Default::Computed("every address"),
                "host name or address to listen on",
            ),
            Key::new("port", Type::Port, Default::Required, "port to listen on; 0 lets the kernel choose"),
            Key::new(
                "remoteAddress",
                Type::Text,
                Default::None,
                "header that gets the sender, as /192.0.2.1:5000 or /[2001:db8::1]:5000",
            ),
            super::RECEIVE_BUFFER,
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &[
            "datagrams are taken whole; Flume cuts them at 2048 bytes",
            "without remoteAddress there is no header; Flume sets one without a name",
            "an IPv6 sender is written /[address]:port",
        ],
    },
    build: |ctx| {
        let protocol = Box::new(Datagrams { header: ctx.text("remoteAddress").and_then(event::Key::intern) });
        let endpoint = super::endpoint(ctx.text("bind"), ctx);
        Source::Datagram { endpoint, protocol, receive_buffer: super::receive_buffer(ctx) }
    },
};

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    match ctx.text("remoteAddress") {
        Some(name) if event::Key::intern(name).is_none() => {
            vec![("remoteAddress", "too long for a header name".to_owned())]
        }
        _ => Vec::new(),
    }
}

struct Datagrams {
    header: Option<event::Key>,
}

impl DatagramProtocol for Datagrams {
    fn decode(&mut self, datagram: &[u8], peer: &Peer, batch: &mut Batch) -> bool {
        let end = memchr(b'\n', datagram).unwrap_or(datagram.len());
        batch.push(Body::Copy(&datagram[..end]));
        if let Some(key) = self.header {
            let value = batch.store(sender(peer).as_bytes());
            batch.push_header(key, value);
        }
        true
    }
}

/// As Java writes the address of a socket that has no name; an IPv6 address in brackets, as Java does since 14.
fn sender(peer: &Peer) -> String {
    match peer.ip() {
        IpAddr::V4(ip) => format!("/{ip}:{}", peer.addr.port()),
        IpAddr::V6(ip) => format!("/[{ip}]:{}", peer.addr.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(header: Option<&str>, from: &str, datagram: &[u8]) -> (Vec<u8>, Vec<(String, String)>) {
        let peer = Peer { addr: from.parse().unwrap(), name: None, is_local: true };
        let mut batch = Batch::new();
        let mut d = Datagrams { header: header.and_then(event::Key::intern) };
        assert!(d.decode(datagram, &peer, &mut batch));
        assert_eq!(batch.len(), 1);
        let e = batch.get(0);
        let text = |v: &[u8]| String::from_utf8(v.to_vec()).unwrap();
        (e.body().to_vec(), e.headers().map(|(k, v)| (k.name().to_owned(), text(v))).collect())
    }

    #[test]
    fn the_body_ends_at_the_first_newline() {
        let body = |d: &[u8]| decoded(None, "192.0.2.1:5", d);
        assert_eq!(body(b"one\r\ntwo\n"), (b"one\r".to_vec(), vec![]));
        assert_eq!(body(b"whole \xff"), (b"whole \xff".to_vec(), vec![]));
        assert_eq!(body(b""), (vec![], vec![]));
        assert_eq!(body(b"\nrest"), (vec![], vec![]));
        let long = [b'x'; 65_507];
        assert_eq!(body(&long).0, long);
    }

    #[test]
    fn the_sender_is_a_header_where_one_is_named() {
        let sender = |from| decoded(Some("from"), from, b"x").1;
        let is = |v: &str| vec![("from".to_owned(), v.to_owned())];
        assert_eq!(sender("192.0.2.1:5000"), is("/192.0.2.1:5000"));
        assert_eq!(sender("[::ffff:192.0.2.1]:5000"), is("/192.0.2.1:5000"));
        assert_eq!(sender("[2001:db8::1]:5000"), is("/[2001:db8::1]:5000"));
    }
}
