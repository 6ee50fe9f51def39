//! Reading a message: the crate's protocols over a slice whose place we know, so that strings stay where they are.

use super::Encoding;
use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;
use thrift::protocol::{
    TBinaryInputProtocol, TCompactInputProtocol, TFieldIdentifier, TInputProtocol, TMessageIdentifier, TType,
};
use thrift::transport::TReadTransport;
use thrift::TConfiguration;

/// What is wrong with a message; in the words of the answer its sender gets.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Malformed(pub String);

pub type Result<T> = std::result::Result<T, Malformed>;

impl From<thrift::Error> for Malformed {
    fn from(e: thrift::Error) -> Malformed {
        Malformed(match e {
            thrift::Error::Transport(_) => "it ends too early".to_owned(),
            thrift::Error::Protocol(e) => e.message,
            other => other.to_string(),
        })
    }
}

/// A message's bytes, read by a protocol that owns this, and by us.
pub struct Slice<'a> {
    all: &'a [u8],
    at: &'a Cell<usize>,
}

impl Read for Slice<'_> {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let rest = &self.all[self.at.get()..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.at.set(self.at.get() + n);
        Ok(n)
    }

    /// Nearly all that is read is a byte or four.
    #[inline]
    fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        let from = self.at.get();
        let bytes = self.all[from..].get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        self.at.set(from + out.len());
        Ok(())
    }
}

/// A protocol whose strings have lengths that can be read alone.
pub trait Lengths: TInputProtocol {
    fn length(&mut self) -> thrift::Result<i64>;
}

impl<T: TReadTransport> Lengths for TCompactInputProtocol<T> {
    fn length(&mut self) -> thrift::Result<i64> {
        // A length is a varint; the crate reads one as a zig-zag number, which is undone.
        self.read_i32().map(|n| i64::from(((n << 1) ^ (n >> 31)) as u32))
    }
}

impl<T: TReadTransport> Lengths for TBinaryInputProtocol<T> {
    fn length(&mut self) -> thrift::Result<i64> {
        self.read_i32().map(i64::from)
    }
}

/// A message that is being read.
pub struct Input<'a, P> {
    all: &'a [u8],
    at: &'a Cell<usize>,
    protocol: P,
}

/// Which encoding a message has, by its first byte.
pub fn encoding(message: &[u8]) -> Option<Encoding> {
    match message {
        [0x82, ..] => Some(Encoding::Compact),
        // Strict, with a version; and the older form, which begins with the length of the name.
        [0x80, 1, ..] | [0, ..] => Some(Encoding::Binary),
        _ => None,
    }
}

/// No string, list or map is believed to be larger than its message.
fn limits(all: &[u8]) -> TConfiguration {
    TConfiguration::builder()
        .max_message_size(Some(all.len()))
        .max_frame_size(Some(all.len()))
        .max_string_size(Some(all.len()))
        .max_container_size(Some(all.len()))
        .build()
        .unwrap_or_default()
}

impl<'a> Input<'a, TCompactInputProtocol<Slice<'a>>> {
    pub fn compact(all: &'a [u8], at: &'a Cell<usize>) -> Self {
        Input { all, at, protocol: TCompactInputProtocol::with_config(Slice { all, at }, limits(all)) }
    }
}

impl<'a> Input<'a, TBinaryInputProtocol<Slice<'a>>> {
    pub fn binary(all: &'a [u8], at: &'a Cell<usize>) -> Self {
        Input { all, at, protocol: TBinaryInputProtocol::with_config(Slice { all, at }, false, limits(all)) }
    }
}

impl<'a, P: Lengths> Input<'a, P> {
    pub fn message(&mut self) -> Result<TMessageIdentifier> {
        Ok(self.protocol.read_message_begin()?)
    }

    /// The whole message, of which strings are ranges.
    pub fn all(&self) -> &'a [u8] {
        self.all
    }

    /// Where a string or binary is.
    pub fn bytes(&mut self) -> Result<Range<usize>> {
        let claimed = self.protocol.length()?;
        let from = self.at.get();
        let n = usize::try_from(claimed).ok().filter(|n| *n <= self.all.len() - from);
        let n = n.ok_or_else(|| Malformed(format!("a string of {claimed} bytes, which are not there")))?;
        self.at.set(from + n);
        Ok(from..from + n)
    }

    /// Reads a struct: `field` gets each field's number and type, and says whether it has read it.
    pub fn fields<E: From<Malformed>>(
        &mut self,
        mut field: impl FnMut(&mut Self, i16, TType) -> std::result::Result<bool, E>,
    ) -> std::result::Result<(), E> {
        self.protocol.read_struct_begin().map_err(Malformed::from)?;
        loop {
            let begin = self.protocol.read_field_begin().map_err(Malformed::from)?;
            let TFieldIdentifier { field_type, id, .. } = begin;
            if field_type == TType::Stop {
                break;
            }
            if !field(self, id.unwrap_or(0), field_type)? {
                self.skip(field_type)?;
            }
            self.protocol.read_field_end().map_err(Malformed::from)?;
        }
        Ok(self.protocol.read_struct_end().map_err(Malformed::from)?)
    }

    /// The number of elements of a list, and what they are.
    pub fn list(&mut self) -> Result<(usize, TType)> {
        let list = self.protocol.read_list_begin()?;
        Ok((size(list.size)?, list.element_type))
    }

    /// The number of entries of a map, and whether they are strings.
    pub fn map(&mut self) -> Result<(usize, bool)> {
        let map = self.protocol.read_map_begin()?;
        let n = size(map.size)?;
        let is_text = |t: Option<TType>| t == Some(TType::String);
        if n > 0 && !(is_text(map.key_type) && is_text(map.value_type)) {
            for _ in 0..n {
                self.skip(map.key_type.unwrap_or(TType::Stop))?;
                self.skip(map.value_type.unwrap_or(TType::Stop))?;
            }
            return Ok((0, false));
        }
        Ok((n, true))
    }

    pub fn int(&mut self) -> Result<i32> {
        Ok(self.protocol.read_i32()?)
    }

    fn skip(&mut self, what: TType) -> Result<()> {
        Ok(self.protocol.skip(what)?)
    }
}

fn size(n: i32) -> Result<usize> {
    usize::try_from(n).map_err(|_| Malformed(format!("a size of {n}")))
}
