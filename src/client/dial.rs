//! From a host and a port to a connected socket, within a time.
//!
//! A name is resolved at each connect, and all its addresses are tried, each with its share of the time that is left.
//! The resolver may take longer than anybody waits: it runs on a thread of its own, which ends by itself.

use socket2::{SockRef, TcpKeepalive};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// After so long without a word the kernel asks the peer whether it is there.
const QUIET: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(15);

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// `host`: a name or an address, an IPv6 address with or without brackets.
    pub fn new(host: &str, port: u16) -> Address {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        Address { host: bare.unwrap_or(host).to_owned(), port }
    }

    /// The name or address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for Address {
    type Err = String;

    /// `host:port`, with brackets around an IPv6 address.
    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || format!("'{text}' is not host:port (an IPv6 address: [address]:port)");
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || host == "[]" || (host.contains(':') && !is_bracketed) {
            return Err(wrong());
        }
        Ok(Address::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Connects, or says why not.
pub fn dial(to: &Address, until: Instant) -> Result<TcpStream, String> {
    let all = resolve(to, until)?;
    let mut why = "its name has no address".to_owned();
    for (i, address) in all.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now()) / (all.len() - i) as u32;
        if left.is_zero() {
            return Err(format!("no time is left; {why}"));
        }
        match TcpStream::connect_timeout(address, left).and_then(|s| prepare(s, address)) {
            Ok(stream) => return Ok(stream),
            Err(e) if address.ip().to_string() == to.host => why = e.to_string(),
            Err(e) => why = format!("{}: {e}", address.ip()),
        }
    }
    Err(why)
}

fn prepare(stream: TcpStream, to: &SocketAddr) -> io::Result<TcpStream> {
    // A port of the range for outgoing connections that nobody listens on can connect to itself.
    if stream.local_addr()? == *to {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    SockRef::from(&stream)
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(QUIET).with_interval(ASK_EVERY))?;
    Ok(stream)
}

fn resolve(to: &Address, until: Instant) -> Result<Vec<SocketAddr>, String> {
    if let Ok(ip) = to.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, to.port)]);
    }
    let (send, answer) = mpsc::sync_channel(1);
    let (host, port) = (to.host.clone(), to.port);
    let ask = move || {
        // Nobody may listen any more.
        let _ = send.send((host.as_str(), port).to_socket_addrs().map(|all| all.collect()));
    };
    std::thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(ask)
        .map_err(|e| format!("no thread to resolve its name: {e}"))?;
    match answer.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(all) => all.map_err(|e: io::Error| format!("its name cannot be resolved: {e}")),
        Err(_) => Err("its name was not resolved in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("h1:4141", "h1:4141"),
            (" 10.0.0.1:1 ", "10.0.0.1:1"),
            ("[::1]:4141", "[::1]:4141"),
            ("[fe80::1%eth0]:65535", "[fe80::1%eth0]:65535"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for bad in ["", "h1", "h1:", ":4141", "h1:0", "h1:65536", "::1:4141", "[]:1", "h1:x"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        assert_eq!(Address::new("[::1]", 1), Address::new("::1", 1));
    }

    #[test]
    fn names_and_both_families_are_reached() {
        for (bind, host) in [("127.0.0.1:0", "127.0.0.1"), ("127.0.0.1:0", "localhost"), ("[::1]:0", "[::1]")]
        {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let port = listener.local_addr().unwrap().port();
            dial(&Address::new(host, port), soon()).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let why = dial(&Address::new("127.0.0.1", free), soon()).unwrap_err();
        assert!(why.contains("refused") && !why.contains("127.0.0.1"), "{why}");
        let why = dial(&Address::new("no-such-host.invalid", 1), soon()).unwrap_err();
        assert!(why.contains("resolved"), "{why}");
        let why = dial(&Address::new("127.0.0.1", free), Instant::now()).unwrap_err();
        assert!(why.contains("no time"), "{why}");
    }
}
