//! Listening sockets: where a source wants to be reached, resolved and bound, with nothing left to the defaults of a
//! platform. Called by the thread that starts sources; may block on a name look-up.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

/// Connections the kernel completes before they are accepted.
const BACKLOG: i32 = 1024;
/// What is asked for as a UDP receive buffer where nothing else is said: bursts wait here while the loop is elsewhere. The
/// kernel grants up to net.core.rmem_max.
pub const UDP_BUFFER: usize = 8 << 20;

/// A host (`None`: every address, IPv6 and IPv4) and a port (0: the kernel's choice).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub host: Option<String>,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.as_deref().unwrap_or("*"), self.port)
    }
}

/// Why an endpoint cannot be listened on.
#[derive(Debug)]
pub struct BindError(pub Endpoint, pub io::Error);

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.0, self.1)
    }
}

/// A non-blocking listener.
pub fn bind_tcp(e: &Endpoint) -> Result<std::net::TcpListener, BindError> {
    bind(e, Type::STREAM, Protocol::TCP, |s, addr| {
        s.set_reuse_address(true)?;
        s.bind(addr)?;
        s.listen(BACKLOG)
    })
    .map(Into::into)
}

/// A non-blocking UDP socket with a receive buffer of so many bytes, a large one unless that is said.
pub fn bind_udp(e: &Endpoint, buffer: Option<usize>) -> Result<UdpSocket, BindError> {
    bind(e, Type::DGRAM, Protocol::UDP, |s, addr| {
        s.set_recv_buffer_size(buffer.unwrap_or(UDP_BUFFER))?;
        s.bind(addr)
    })
    .map(Into::into)
}

/// Asks for a receive buffer of so many bytes for a socket that there is.
pub fn set_receive_buffer(socket: &UdpSocket, bytes: usize) -> io::Result<()> {
    socket2::SockRef::from(socket).set_recv_buffer_size(bytes)
}

/// The bytes of receive buffer that a socket has been given. (Linux counts twice what is asked for.)
pub fn receive_buffer(socket: &UdpSocket) -> io::Result<usize> {
    Ok(socket2::SockRef::from(socket).recv_buffer_size()? / 2)
}

fn bind(
    e: &Endpoint,
    ty: Type,
    protocol: Protocol,
    prepare: impl Fn(&Socket, &SockAddr) -> io::Result<()>,
) -> Result<Socket, BindError> {
    let fail = |err| BindError(e.clone(), err);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for addr in addresses(e).map_err(fail)? {
        let attempt = Socket::new(Domain::for_address(addr), ty, Some(protocol)).and_then(|s| {
            s.set_nonblocking(true)?;
            if addr.is_ipv6() {
                // The wildcard serves IPv4 too; a named IPv6 address only itself.
                s.set_only_v6(!addr.ip().is_unspecified())?;
            }
            prepare(&s, &addr.into())?;
            Ok(s)
        });
        match attempt {
            Ok(s) => return Ok(s),
            Err(err) => last = err,
        }
    }
    Err(fail(last))
}

/// Addresses to try in turn. The wildcard is `[::]` with IPv4 on it, or `0.0.0.0` on a host without IPv6.
fn addresses(e: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    match e.host.as_deref() {
        None | Some("*") => {
            Ok(vec![(Ipv6Addr::UNSPECIFIED, e.port).into(), SocketAddr::from(([0, 0, 0, 0], e.port))])
        }
        Some(host) => {
            let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            Ok((bare, e.port).to_socket_addrs()?.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn endpoint(host: Option<&str>, port: u16) -> Endpoint {
        Endpoint { host: host.map(str::to_owned), port }
    }

    #[test]
    fn the_wildcard_serves_ipv4() {
        let l = bind_tcp(&endpoint(None, 0)).unwrap();
        TcpStream::connect(("127.0.0.1", l.local_addr().unwrap().port())).unwrap();
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let l = bind_tcp(&endpoint(Some("127.0.0.1"), 0)).unwrap();
        let port = l.local_addr().unwrap().port();
        let text = bind_tcp(&endpoint(Some("127.0.0.1"), port)).unwrap_err().to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("in use"), "{text}");
    }

    #[test]
    fn an_ipv6_address_may_stand_in_brackets() {
        assert_eq!(addresses(&endpoint(Some("[::1]"), 7)).unwrap(), ["[::1]:7".parse().unwrap()]);
    }
}
