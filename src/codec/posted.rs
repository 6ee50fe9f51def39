//! The text of a posted body (JSON, XML): decoded by its charset, and how the bodies of its events are encoded again.
//!
//! Flume's JSON handler reads UTF-8, UTF-16 and UTF-32, and keeps an event's body in the charset that it came in, as Java writes it: UTF-16
//! big-endian behind a byte order mark, UTF-32 big-endian without one. Bytes that are no text of their charset are refused;
//! where no charset was named they are Latin-1, as Flume takes all of those.

use crate::codec::Chunk;
use crate::event::Buffer;
use encoding_rs::{UTF_16BE, UTF_16LE};
use std::sync::Arc;

/// The header of an event whose body is no text: it goes as base64 where bodies are texts (`base64` is its value).
pub const BODY_ENCODING: &str = "flumed.bodyEncoding";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    Utf8,
    Utf16,
    Utf32,
    Latin1,
}

impl Charset {
    pub fn named(name: &str) -> Option<Charset> {
        let all = [
            ("utf-8", Charset::Utf8),
            ("utf-16", Charset::Utf16),
            ("utf-32", Charset::Utf32),
            ("iso-8859-1", Charset::Latin1),
        ];
        all.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, c)| *c)
    }

    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Utf16 if text.is_empty() => Vec::new(),
            Charset::Utf16 => {
                let mark = [0xfe, 0xff].into_iter();
                mark.chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect()
            }
            Charset::Utf32 => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
            Charset::Latin1 => text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect(),
        }
    }
}

/// UTF-8 in a buffer, and the charset it came in.
pub struct Text<'a> {
    place: Place<'a>,
    charset: Charset,
}

enum Place<'a> {
    There { chunk: Chunk<'a>, text: &'a str },
    Made(Arc<Buffer>),
}

impl<'a> Text<'a> {
    pub fn owned(text: String, charset: Charset) -> Text<'a> {
        Text { place: Place::Made(Buffer::owned(text.into_bytes())), charset }
    }

    /// That of bodies.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// The same text, whose bodies are to be in this charset.
    pub fn with_bodies_in(self, charset: Charset) -> Text<'a> {
        Text { charset, ..self }
    }

    pub fn as_str(&self) -> &str {
        match &self.place {
            Place::There { text, .. } => text,
            // It was made of a text.
            Place::Made(buffer) => std::str::from_utf8(buffer).unwrap_or(""),
        }
    }

    pub fn buffer(&self) -> &Arc<Buffer> {
        match &self.place {
            Place::There { chunk, .. } => chunk.buffer,
            Place::Made(buffer) => buffer,
        }
    }

    /// Where in the buffer a part of the text lies, if it is one.
    pub fn offset_of(&self, part: &str) -> Option<usize> {
        let buffer: &[u8] = self.buffer();
        let at = (part.as_ptr() as usize).checked_sub(buffer.as_ptr() as usize)?;
        (at + part.len() <= buffer.len()).then_some(at)
    }
}

/// Decodes a body; `None` stands for no charset, an error says what is wrong.
pub fn decode(charset: Option<Charset>, chunk: Chunk<'_>) -> Result<Text<'_>, String> {
    let bytes = &chunk.buffer[chunk.from..chunk.to];
    match charset {
        None | Some(Charset::Utf8) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(text);
                Ok(Text { place: Place::There { chunk, text }, charset: Charset::Utf8 })
            }
            Err(e) if charset.is_some() => {
                Err(format!("it is not UTF-8: byte {} is no part of a character", e.valid_up_to()))
            }
            Err(_) => Ok(Text::owned(latin1(bytes), Charset::Utf8)),
        },
        Some(Charset::Latin1) => Ok(Text::owned(latin1(bytes), Charset::Latin1)),
        Some(Charset::Utf16) => {
            let (encoding, rest) = match bytes {
                [0xff, 0xfe, rest @ ..] => (UTF_16LE, rest),
                [0xfe, 0xff, rest @ ..] => (UTF_16BE, rest),
                rest => (UTF_16BE, rest),
            };
            let text = encoding.decode_without_bom_handling_and_without_replacement(rest);
            let text = text.ok_or("it is not UTF-16")?.into_owned();
            Ok(Text::owned(text, Charset::Utf16))
        }
        Some(Charset::Utf32) => {
            let (little, rest) = match bytes {
                [0xff, 0xfe, 0, 0, rest @ ..] => (true, rest),
                [0, 0, 0xfe, 0xff, rest @ ..] => (false, rest),
                rest => (false, rest),
            };
            let units = rest.chunks(4).map(|unit| {
                let unit = <[u8; 4]>::try_from(unit).ok()?;
                char::from_u32(if little { u32::from_le_bytes(unit) } else { u32::from_be_bytes(unit) })
            });
            let text: Option<String> = units.collect();
            Ok(Text::owned(text.ok_or("it is not UTF-32")?, Charset::Utf32))
        }
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(charset: Option<Charset>, bytes: &[u8]) -> Result<String, String> {
        let buffer = Buffer::owned([b"..", bytes].concat());
        let chunk = Chunk { buffer: &buffer, from: 2, to: buffer.len() };
        decode(charset, chunk).map(|t| t.as_str().to_owned())
    }

    #[test]
    fn texts_of_all_charsets() {
        let text = "[é☃𝄞]";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let be32 = Charset::Utf32.encode(text);
        let le32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (charset, bytes) in [
            (None, text.as_bytes().to_vec()),
            (Some(Charset::Utf8), ["\u{feff}".as_bytes(), text.as_bytes()].concat()),
            (Some(Charset::Utf16), be.clone()),
            (Some(Charset::Utf16), [&[0xfe, 0xff], &be[..]].concat()),
            (Some(Charset::Utf16), [&[0xff, 0xfe], &le[..]].concat()),
            (Some(Charset::Utf32), be32),
            (Some(Charset::Utf32), [&[0xff, 0xfe, 0, 0], &le32[..]].concat()),
        ] {
            assert_eq!(decoded(charset, &bytes).as_deref(), Ok(text), "{charset:?} {bytes:?}");
        }
        assert_eq!(decoded(None, b"\xe9").as_deref(), Ok("é"), "Latin-1, as no charset is named");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (charset, bytes) in [
            (Charset::Utf8, &b"[\xe9]"[..]),
            (Charset::Utf16, b"\0"),
            (Charset::Utf16, b"\xd8\x00\x00["),
            (Charset::Utf32, b"\0\0\0"),
            (Charset::Utf32, b"\0\x11\0\0"),
            (Charset::Utf32, b"\0\0\xd8\0"),
        ] {
            assert!(decoded(Some(charset), bytes).is_err(), "{charset:?} {bytes:?}");
        }
    }

    /// What Java writes.
    #[test]
    fn bodies_are_encoded_again() {
        assert_eq!(Charset::Utf16.encode("é"), b"\xfe\xff\0\xe9");
        assert_eq!(Charset::Utf16.encode(""), b"");
        assert_eq!(Charset::Utf32.encode("é"), b"\0\0\0\xe9");
        assert_eq!(Charset::named("UTF-16"), Some(Charset::Utf16));
        assert_eq!(Charset::Latin1.encode("é☃"), b"\xe9?");
        assert_eq!(Charset::named("koi8-r"), None);
    }
}
