//! The bytes of a connection: a socket, with TLS and deflate over it as the server has them; whatever is waited for has a
//! moment until when. Belongs to the thread of its connection; no locks.

use super::connector::Settings;
use super::dial::{self, Address};
use super::layers::{Layers, Order};
use crate::codec::zlib::{Deflater, Inflater};
use crate::tls::{self, Session};
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub struct Stream {
    socket: TcpStream,
    layers: Layers,
}

impl Stream {
    /// Connects, with TLS's handshake if `tls` is given; or says why not.
    pub fn connect(
        to: &Address,
        settings: &Settings,
        tls: Option<&tls::Client>,
        until: Instant,
    ) -> Result<Stream, String> {
        let socket = dial::dial(to, until).map_err(|why| format!("cannot connect to {to}: {why}"))?;
        let hint = match (settings.deflate, tls) {
            (Some(_), Some(_)) => "; is compression-order as the server has it?",
            _ => "",
        };
        let no_tls =
            |why: String| format!("no TLS with {to}: {}{hint}", why.strip_prefix("no TLS: ").unwrap_or(&why));
        let session = tls.map(|tls| tls.connect(to.host())).transpose().map_err(no_tls)?;
        let mut stream = Stream::over(socket, session, settings.deflate, settings.order);
        match stream.shake(until) {
            Ok(()) => Ok(stream),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                let limit = settings.connect_timeout.as_millis();
                Err(no_tls(format!("the handshake has not ended within {limit} ms")))
            }
            // Its own words, or those of whoever has found its certificate wrong.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(no_tls(e.to_string())),
            Err(e) => Err(no_tls(format!("{e}; is ssl = true there, too?"))),
        }
    }

    /// The bytes of a socket that is connected; a handshake is still to be made.
    pub fn over(socket: TcpStream, tls: Option<Session>, deflate: Option<u32>, order: Order) -> Stream {
        let zlib = deflate.map(|level| (Deflater::new(level), Inflater::default()));
        Stream { socket, layers: Layers { tls, zlib, order } }
    }

    /// Makes the handshake of TLS, if there is TLS.
    pub fn shake(&mut self, until: Instant) -> io::Result<()> {
        let mut socket = Timed { socket: &self.socket, until };
        loop {
            self.layers.send_records(&mut socket)?;
            if self.layers.tls.as_ref().is_none_or(|tls| !tls.is_handshaking()) {
                return Ok(());
            }
            match self.layers.shake(&mut Few { from: &mut socket, reads: 1 }) {
                Ok(0) => return Err(io::Error::other("it closed the connection within the handshake")),
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => {
                    // The alert that says so, if one does.
                    let _ = self.layers.send_records(&mut socket);
                    return Err(e);
                }
                _ => {}
            }
        }
    }

    /// Whether what was not sent as a whole cannot be read as a whole. A deflated text may be complete before its bytes
    /// are; a record is not.
    pub fn is_whole_or_nothing(&self) -> bool {
        self.layers.zlib.is_none()
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8], until: Instant) -> io::Result<()> {
        self.layers.write(&mut Timed { socket: &self.socket, until }, bytes)
    }

    /// Waits for what comes next; 0 at the end.
    pub fn read(&mut self, out: &mut [u8], until: Instant) -> io::Result<usize> {
        let mut socket = Timed { socket: &self.socket, until };
        // What the layers hold is given before anybody waits for more.
        let mut reads = 0;
        loop {
            let got = self.layers.read(&mut Few { from: &mut socket, reads }, out);
            reads = 1;
            // An alert perhaps, or an answer of TLS's own. Whether it can be sent is seen by the next call.
            let _ = self.layers.send_records(&mut socket);
            match got {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    /// Whether nothing has come but what TLS has to say for itself.
    pub fn is_quiet(&mut self) -> bool {
        self.pending().is_none()
    }

    /// What is wrong with the session, if the peer has said so.
    pub fn last_words(&mut self) -> Option<String> {
        self.layers.tls.as_ref()?;
        match self.pending() {
            Some(Err(e)) if e.kind() == io::ErrorKind::InvalidData => Some(e.to_string()),
            _ => None,
        }
    }

    /// What has come already, or the end.
    fn pending(&mut self) -> Option<io::Result<usize>> {
        let mut reads = 0;
        loop {
            match self.layers.read(&mut Few { from: &self.socket, reads }, &mut [0; 1]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Some(done),
            }
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
                return None;
            }
            reads = 1;
        }
    }

    /// The peer has refused our certificate: whatever was sent, it has read nothing of it.
    pub fn is_refused(&self) -> bool {
        self.layers.tls.as_ref().is_some_and(Session::is_refused)
    }

    /// Says goodbye where that is usual; nobody waits for it to arrive.
    pub fn close(&mut self) {
        // Bytes that nobody has read would turn it into a reset.
        let _ = self.pending();
        let Some(tls) = &mut self.layers.tls else { return };
        let mut records = Vec::new();
        tls.close(&mut records);
        if self.socket.set_nonblocking(true).is_ok() {
            let _ = self.layers.write_records(&mut &self.socket, &records);
        }
    }

    #[cfg(test)]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// What is read so often and has nothing more then, so that nobody waits for more than there is.
struct Few<R> {
    from: R,
    reads: usize,
}

impl<R: Read> Read for Few<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.reads = self.reads.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        self.from.read(out)
    }
}

/// A socket that is waited for until a moment, however often.
struct Timed<'a> {
    socket: &'a TcpStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }

    /// Tries until something is done or the time is over.
    fn wait(&mut self, mut step: impl FnMut(&mut Self) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match step(self) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.wait(|t| {
            t.socket.set_read_timeout(t.left()?)?;
            t.socket.read(out)
        })
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|t| {
            t.socket.set_write_timeout(t.left()?)?;
            t.socket.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
