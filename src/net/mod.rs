//! The event loop: a thread, or a few, that accept and read every connection of the agent.
//!
//! A source gives the loop listeners and a [`Protocol`] (or a [`DatagramProtocol`]); the loop does the rest:
//! reading into pooled buffers, decoding, delivering, parking who finds a channel full, answering in order,
//! deadlines, limits. Other threads reach it through a [`Loops`]: commands, and wake-ups from channels.
//!
//! Nothing in here blocks and nothing touches a file: what may block (a decoder, interceptor or selector that says so) is
//! done by a small pool of threads, in the order of its connection. One connection's error, or panic, ends that connection.

use crate::codec::{BatchLimits, Chunk, Decoded};
use crate::event::Batch;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

mod bind;
mod budget;
mod conn;
mod deadlines;
mod dropped;
mod event_loop;
mod handle;
mod intake;
mod job;
mod listener;
mod names;
mod outbox;
mod park;
mod pool;
mod run_queue;
mod slot;
mod source;
#[cfg(test)]
mod tests;
mod throttle;
mod transport;
mod udp;

pub use bind::Endpoint;
pub use throttle::Throttle;
pub use transport::Wire;

// The agent's, and the benchmarks'.
#[doc(hidden)]
pub use bind::{bind_tcp, bind_udp, receive_buffer, set_receive_buffer, BindError, UDP_BUFFER};
#[doc(hidden)]
pub use dropped::Dropped;
#[doc(hidden)]
pub use event_loop::start;
#[doc(hidden)]
pub use handle::{Detached, Loops, SourceId};
#[doc(hidden)]
pub use intake::Intake;
#[doc(hidden)]
pub use names::Names;
#[doc(hidden)]
pub use source::Attach;

/// The agent's limits on what the network may cost it.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Open connections of one source; more are closed as they come.
    pub max_connections: usize,
    /// Bytes of partial messages, parked batches and open tickets; above it nothing more is read but the rest of one
    /// message a source.
    pub max_in_flight: usize,
    /// Open answers of one connection; it is not read above it.
    pub max_pipelined: usize,
    /// A connection on which nothing happens for this long is closed; `None`: never.
    pub idle: Option<Duration>,
    /// A message above a few KiB that is not complete after this long ends its connection: others may need its memory.
    pub message: Duration,
    /// A peer that takes none of its answers for this long is closed.
    pub answer: Duration,
    /// Threads for what may block; a source that would find none gets one more.
    pub pool_threads: usize,
}

impl Settings {
    /// What one of `n` loops gets of what is for all of them together.
    fn for_one_of(self, n: usize) -> Settings {
        Settings { max_in_flight: self.max_in_flight / n.max(1), ..self }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_connections: 16_384,
            max_in_flight: 64 << 20,
            max_pipelined: 64,
            idle: None,
            message: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            pool_threads: 4,
        }
    }
}

/// Who is on the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    pub addr: SocketAddr,
    /// Its name, where the protocol asked for it: from the reverse look-up, else the address.
    pub name: Option<String>,
    /// Whether it is this very machine.
    pub is_local: bool,
}

impl Peer {
    /// The address: an IPv4 one as itself also on a dual-stack listener.
    pub fn ip(&self) -> IpAddr {
        plain_ip(self.addr.ip())
    }

    /// Whether a connection from there to `local` never left the machine.
    fn is_local(from: SocketAddr, local: Option<SocketAddr>) -> bool {
        let ip = plain_ip(from.ip());
        ip.is_loopback() || local.is_some_and(|l| plain_ip(l.ip()) == ip)
    }

    /// The address as header text.
    pub fn ip_text(&self) -> String {
        self.ip().to_string()
    }
}

/// An IPv4 address that arrived on a dual-stack socket, as itself.
pub(crate) fn plain_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        v4 => v4,
    }
}

/// What became of the events a session decoded.
pub enum Outcome<'a> {
    /// In every required channel.
    Stored,
    /// In none, or not for sure; the reason. The sender may try again.
    Refused(&'a str),
    /// In none, and it never will be: it is more than a channel takes at once; the reason.
    TooLarge(&'a str),
}

/// What a connection does after an answer.
#[derive(PartialEq, Eq, Clone, Copy, Debug)]
pub enum After {
    Continue,
    Close,
}

/// The server side of a protocol on connections: one value for all of a source's, shared by the loops' threads, which call it
/// at the same time and must not be blocked by it. It lives as long as its source runs as it is set; on a reload that
/// changes the source a new one takes its place, and its connections where they can.
pub trait Protocol: Send + Sync {
    /// Whether sessions want the peer's name; they are then opened once it is known.
    fn wants_peer_name(&self) -> bool {
        false
    }
    /// Whether the protocol can tell a sender no. Where it cannot, a connection waits for its channel for ever.
    fn can_refuse(&self) -> bool;
    /// Whether its sessions decode calls ([`Then::Call`](crate::codec::Then::Call)). A batch of lines may be stored in
    /// parts, a call may not.
    fn makes_calls(&self) -> bool {
        false
    }
    /// Why this peer is not served, if it is not.
    fn refuses(&self, _peer: &Peer) -> Option<String> {
        None
    }
    /// Bytes of the longest message that its sessions take.
    fn longest(&self) -> usize {
        usize::MAX
    }
    /// After how long a connection is closed on which nothing happens, where the source has a time of its own.
    fn idle(&self) -> Option<Duration> {
        None
    }
    /// What lies between its sockets and their messages.
    fn wire(&self) -> Wire {
        Wire::default()
    }
    /// Begins a connection.
    fn open(&self, peer: &Peer) -> Box<dyn Session>;
}

/// One connection's protocol state. Called by its loop's thread only, which it must not block.
///
/// [`decode`](Session::decode) is called as bytes come, and goes on while answers to earlier batches are open
/// (`maxPipelined`); [`answer`](Session::answer) is called for each batch that had events, and for each call, in the order
/// of decoding. A batch may have been stored in parts: then each part is answered, with its number of events. What the
/// interceptors dropped counts as stored. A panic in either ends the connection; what was not answered the peer has to
/// send again. After [`Then::Fail`](crate::codec::Then::Fail) or [`After::Close`] it is dropped, and so it is, at any
/// time, when the connection is gone.
pub trait Session: Send {
    /// Decodes what is there into the batch; see [`crate::codec`]. `eof`: no more bytes will come. An incomplete message
    /// is best left in the chunk (`used` ends before it): the loop keeps it, counts it, and limits how long it may take.
    /// A session bounds how long a message may be, and says so by [`Protocol::longest`].
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded;
    /// Bytes the session itself holds of messages that are not complete.
    fn memory(&self) -> usize {
        0
    }
    /// Whether a message has begun that is not complete, in what was taken of the chunks.
    fn is_inside(&self) -> bool {
        self.memory() > 0
    }
    /// Whether a message has begun whose end is due within messageTimeout, however little of it has come. Of others only
    /// those that hold memory are.
    fn is_timed(&self) -> bool {
        false
    }
    /// That time is over: what the peer is told before the connection is closed, if anything. Nothing more is decoded.
    fn expire(&mut self) -> Vec<u8> {
        Vec::new()
    }
    /// Whether it goes on where its source is replaced by another of its kind, from the next message on with that one's
    /// [`longest`](Protocol::longest): what was agreed on with the peer when the connection began still holds. Otherwise
    /// the new source opens a session.
    fn outlives_its_source(&mut self, _longest: usize) -> bool {
        false
    }
    /// Its source stops within a message: what to tell the peer, if anything.
    fn stopped(&mut self) -> Vec<u8> {
        Vec::new()
    }
    /// Appends the answer to `events` decoded events, or to a call, in the order of decoding.
    fn answer(&mut self, events: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After;
}

/// A protocol of single datagrams, without answers. Called by the one loop's thread that has the socket, which it must not
/// block. A panic costs that datagram.
pub trait DatagramProtocol: Send {
    fn wants_peer_name(&self) -> bool {
        false
    }
    /// Adds the datagram's event to the batch; `false` when there is none in it.
    fn decode(&mut self, datagram: &[u8], peer: &Peer, batch: &mut Batch) -> bool;
}
