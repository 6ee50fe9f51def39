//! The parts of a syslog text, by RFC 5424 or RFC 3164 (reference, wire.md 3.2).
//!
//! ```text
//!   5424 = "<" pri ">" [ DIGIT ] [ blank ] ( time / "-" ) blank ( host / "-" ) blank body
//!   3164 = "<" pri ">" [ DIGIT ] [ blank ] Mmm 1*2blank 1*2DIGIT blank hh:mm:ss blank host blank body
//!   host = word *( word / "." / "@" / "-" )  or an IPv6 address       word = ALPHA / DIGIT / "_"
//! ```
//!
//! The body may hold any byte: RFC 5424, 6.4. (Flume's pattern stops at a CR or a Unicode line separator.)
//! A colon makes a host only where the whole is an address, for many senders name no host at all and put
//! `program: text` there.

use super::stamp::{Stamp, Stamps};

/// Offsets into a text; empty means absent.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Part {
    pub from: u32,
    pub to: u32,
}

impl Part {
    pub fn new(from: usize, to: usize) -> Part {
        Part { from: from as u32, to: to as u32 }
    }
    pub fn is_empty(self) -> bool {
        self.from == self.to
    }
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[self.from as usize..self.to as usize]
    }
}

/// A text taken apart.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Parts {
    pub priority: Part,
    pub version: Part,
    /// The timestamp as it was sent.
    pub stamp: Part,
    pub epoch_ms: Option<i64>,
    pub host: Part,
    pub body_from: usize,
    pub body_to: usize,
}

impl Parts {
    /// Takes apart a text whose priority ends before `from`; `None` if it is of neither form.
    #[inline]
    pub fn of(text: &[u8], from: usize, stamps: &mut Stamps, now_ms: u64) -> Option<Parts> {
        let priority = Part::new(1, from - 1);
        let (version, stamp_from) = version(text, from);
        let rest = text.get(stamp_from..)?;
        let is_3164 = rest.first()?.is_ascii_uppercase();
        let Stamp { len, epoch_ms } = match rest {
            [b'-', ..] => Stamp { len: 1, epoch_ms: None },
            _ if is_3164 => stamps.rfc3164(rest, now_ms)?,
            _ => stamps.rfc5424(rest)?,
        };
        let host_from = after_blank(text, stamp_from + len)?;
        let host_len = match &text[host_from..] {
            [b'-', ..] if !is_3164 => 1,
            rest => host(rest)?,
        };
        let body_from = after_blank(text, host_from + host_len)?;
        let part = |from, len| if text[from] == b'-' { Part::default() } else { Part::new(from, from + len) };
        Some(Parts {
            priority,
            version,
            stamp: part(stamp_from, len),
            epoch_ms,
            host: part(host_from, host_len),
            body_from,
            body_to: text.len(),
        })
    }
}

/// The optional version digit, and where the timestamp begins. Without a blank behind it a digit is the
/// version only if it is not the first of a year.
#[inline]
fn version(text: &[u8], from: usize) -> (Part, usize) {
    match text[from..] {
        [b'0'..=b'9', b, ..] if is_blank(b) => (Part::new(from, from + 1), from + 2),
        [b'0'..=b'9', _, _, _, b'-', ..] => (Part::default(), from),
        [b'0'..=b'9', ..] => (Part::new(from, from + 1), from + 1),
        [b, ..] if is_blank(b) => (Part::default(), from + 1),
        _ => (Part::default(), from),
    }
}

#[inline]
pub fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c)
}

#[inline]
fn after_blank(text: &[u8], at: usize) -> Option<usize> {
    is_blank(*text.get(at)?).then_some(at + 1)
}

/// The length of the host at the front of `rest`.
#[inline]
fn host(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|&b| !IN_HOST[b as usize])?;
    match (rest[0], rest[end]) {
        (_, b':') => address(rest),
        (b'.' | b'@' | b'-', _) => None,
        _ => (end > 0).then_some(end),
    }
}

/// Bytes a host name is made of.
const IN_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'_' | b'.' | b'@' | b'-');
        b += 1;
    }
    table
};

/// The length of the IPv6 address at the front of `rest`, which may name a zone: `fe80::1%eth0`.
#[cold]
fn address(rest: &[u8]) -> Option<usize> {
    /// An address with dotted quad, a percent sign and an interface name.
    const LONGEST: usize = 64;
    let end = rest.iter().take(LONGEST).position(|b| is_blank(*b))?;
    let text = std::str::from_utf8(&rest[..end]).ok()?;
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<core::net::Ipv6Addr>().ok().map(|_| end)
}
