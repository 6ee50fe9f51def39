use super::*;
use crate::client::connector::Connector;
use crate::client::testing::pki::Pki;
use crate::client::testing::Folder;
use crate::tls::{Identity, Options, Trust};
use std::net::TcpListener;
use std::sync::mpsc;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Both sides of TLS.
fn sides() -> (tls::Server, tls::Client) {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let identity = Some(Identity::Store(folder.store("s.pem", pki.issue(&["localhost"]).pem())));
    let trust = Trust::Store(folder.store("ca.pem", pki.certificate()));
    let server = tls::Server::new("server", Options { identity, ..Options::default() }).unwrap();
    (server, tls::Client::new("client", Options { trust, ..Options::default() }).unwrap())
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Two ends with these layers, the handshake behind them.
fn ends(
    (server, client): &(tls::Server, tls::Client),
    (with_tls, deflate, order): (bool, Option<u32>, Order),
) -> (Stream, Stream) {
    let (one, other) = pair();
    let session = with_tls.then(|| server.accept().unwrap());
    let mut there = Stream::over(other, session, deflate, order);
    let shaking = std::thread::spawn(move || {
        there.shake(soon()).unwrap();
        there
    });
    let session = with_tls.then(|| client.connect("localhost").unwrap());
    let mut here = Stream::over(one, session, deflate, order);
    here.shake(soon()).unwrap();
    (here, shaking.join().unwrap())
}

fn all() -> Vec<(bool, Option<u32>, Order)> {
    let mut all = Vec::new();
    for order in [Order::Records, Order::Text] {
        for with_tls in [false, true] {
            all.extend([None, Some(0), Some(6)].map(|deflate| (with_tls, deflate, order)));
        }
    }
    all
}

fn read(stream: &mut Stream, n: usize) -> Vec<u8> {
    let (mut got, mut piece) = (Vec::new(), [0; 1000]);
    while got.len() < n {
        let n = stream.read(&mut piece, soon()).unwrap();
        assert!(n > 0, "ends after {} bytes", got.len());
        got.extend_from_slice(&piece[..n]);
    }
    got
}

#[test]
fn bytes_go_both_ways_through_any_layers() {
    let long: Vec<u8> = (0..150_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let sides = sides();
    for layers in all() {
        let (mut here, mut there) = ends(&sides, layers);
        assert_eq!(here.is_whole_or_nothing(), layers.1.is_none());
        let text = long.clone();
        let sending = std::thread::spawn(move || {
            for part in [&b"a"[..], &text, b"z"] {
                here.send(part, soon()).unwrap();
            }
            here
        });
        let expected = [&b"a"[..], &long, b"z"].concat();
        assert!(read(&mut there, expected.len()) == expected, "{layers:?}");
        let mut here = sending.join().unwrap();
        // What is there is given without waiting for more, however it is cut.
        let (answer, mut piece, mut got) = ([7; 9000], [0; 4096], 0);
        there.send(&answer, soon()).unwrap();
        while got < answer.len() {
            got += here.read(&mut piece, soon()).unwrap();
        }
        assert!(here.is_quiet());
    }
}

#[test]
fn the_order_shows_in_the_first_byte() {
    let (_, client) = sides();
    for (order, first) in [(Order::Records, 0x78), (Order::Text, 0x16)] {
        let (one, mut other) = pair();
        let mut here = Stream::over(one, Some(client.connect("localhost").unwrap()), Some(6), order);
        here.shake(Instant::now() + Duration::from_millis(50)).unwrap_err();
        let mut byte = [0];
        other.read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], first, "{order:?}");
    }
}

/// Waits until there is something to be read.
fn wait_readable(stream: &Stream) {
    stream.socket().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(stream.socket().peek(&mut [0]).is_ok());
}

#[test]
fn a_goodbye_is_an_end() {
    let sides = sides();
    for layers in all().into_iter().filter(|(with_tls, ..)| *with_tls) {
        let (mut here, mut there) = ends(&sides, layers);
        assert!(here.is_quiet() && here.last_words().is_none());
        there.close();
        wait_readable(&here);
        let until = soon();
        while here.is_quiet() {
            assert!(Instant::now() < until);
        }
        // It arrives, and is the end, although the socket is open.
        here.close();
        assert_eq!(there.read(&mut [0; 10], soon()).unwrap(), 0);
    }
    let (mut here, there) = ends(&sides, (false, None, Order::default()));
    here.close();
    assert!(here.is_quiet());
    drop(there);
    wait_readable(&here);
    assert!(!here.is_quiet());
}

/// What becomes of a connect to who does this.
fn refused(connect_timeout: Duration, peer: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
    let accepting = std::thread::spawn(move || peer(listener.accept().unwrap().0));
    let tls = Some(Options { trust: Trust::Anyone, ..Options::default() });
    let e = Connector::new("test", Settings { connect_timeout, tls, ..Settings::default() }).open(&to);
    let e = e.err().unwrap();
    accepting.join().unwrap();
    assert_eq!((e.outcome, e.maybe_stored()), (super::super::error::Outcome::NotSent, 0));
    let begin = format!("no TLS with {to}: ");
    assert!(e.why.starts_with(&begin), "{e}");
    e.why[begin.len()..].to_owned()
}

#[test]
fn who_does_not_speak_tls_is_told() {
    let patient = Duration::from_secs(20);
    let hello = |mut socket: &TcpStream| {
        let _ = socket.read(&mut [0; 4096]);
    };
    let why = refused(patient, move |socket| {
        hello(&socket);
        let _ = (&socket).write_all(b"220 mail.example.com ESMTP\r\n");
        // Until the client has understood it.
        hello(&socket);
    });
    assert!(why.contains("plain text"), "{why}");
    let why = refused(patient, move |socket| hello(&socket));
    assert!(why.contains("closed the connection") && why.contains("ssl = true there"), "{why}");
    let why = refused(patient, move |socket| {
        hello(&socket);
        // The beginning of a record.
        let _ = (&socket).write_all(b"\x16\x03\x03\x00\x50");
    });
    assert!(why.contains("closed within the TLS handshake"), "{why}");
}

#[test]
fn a_handshake_that_stalls_ends_in_time() {
    let (over, is_over) = mpsc::channel::<()>();
    let connecting = std::thread::spawn(move || {
        let began = Instant::now();
        let why = refused(Duration::from_millis(200), move |_socket| {
            let _ = is_over.recv_timeout(Duration::from_secs(2));
        });
        (why, began.elapsed())
    });
    let (why, took) = connecting.join().unwrap();
    drop(over);
    assert_eq!(why, "the handshake has not ended within 200 ms");
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(15), "{took:?}");
    // Also if bytes drip.
    let why = refused(Duration::from_millis(200), |mut socket| {
        let _ = socket.write_all(b"\x16\x03\x03\x3f\xff");
        while socket.write_all(b"x").is_ok() {
            std::thread::yield_now();
        }
    });
    assert!(why.contains("within 200 ms") || why.contains("no TLS record"), "{why}");
}
