//! Charsets by their Java names: bytes to UTF-8 and back.
//!
//! UTF-8 passes bytes through unchanged, valid or not (Flume closes the connection on the first invalid
//! byte; reference, sources.md 9), and so does US-ASCII. ISO-8859-1 is the real one, every byte the code
//! point of that number: encoding_rs, which does all the others, takes that label for windows-1252, as
//! browsers do. UTF-16 without a byte order says big-endian unless a mark says otherwise, and is written
//! big-endian without a mark, because an answer is not the start of a stream.

use encoding_rs::{CoderResult, Encoding};
use std::borrow::Cow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Utf8,
    Ascii,
    Latin1,
    /// Byte order by mark, else big-endian.
    Utf16,
    Utf16Be,
    Utf16Le,
    Other(&'static Encoding),
}

/// A charset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charset(Kind);

impl Charset {
    pub const UTF_8: Charset = Charset(Kind::Utf8);

    /// The charset of this Java name or alias, in any case.
    pub fn named(name: &str) -> Option<Charset> {
        let name = name.trim().to_ascii_lowercase();
        let kind = match name.as_str() {
            "utf-8" | "utf8" | "utf_8" | "unicode-1-1-utf-8" => Kind::Utf8,
            "us-ascii" | "ascii" | "ascii7" | "ansi_x3.4-1968" | "ansi_x3.4-1986" | "iso-ir-6"
            | "iso646-us" | "iso_646.irv:1991" | "iso_646.irv:1983" | "646" | "us" | "cp367" | "ibm367"
            | "ibm-367" | "csascii" | "default" => Kind::Ascii,
            "iso-8859-1" | "iso8859-1" | "iso8859_1" | "iso_8859-1" | "iso_8859_1" | "iso_8859-1:1987"
            | "8859_1" | "latin1" | "l1" | "iso-ir-100" | "cp819" | "ibm819" | "ibm-819" | "819"
            | "csisolatin1" => Kind::Latin1,
            "utf-16" | "utf16" | "utf_16" | "unicode" | "unicodebig" => Kind::Utf16,
            "utf-16be" | "utf_16be" | "iso-10646-ucs-2" | "x-utf-16be" | "unicodebigunmarked" => {
                Kind::Utf16Be
            }
            "utf-16le" | "utf_16le" | "x-utf-16le" | "unicodelittleunmarked" => Kind::Utf16Le,
            other => Kind::Other(known(other)?),
        };
        Some(Charset(kind))
    }

    /// Whether text is taken over byte by byte, so that spans of the input are the result.
    pub fn is_plain(self) -> bool {
        matches!(self.0, Kind::Utf8 | Kind::Ascii)
    }

    /// Whether the bytes CR and LF are line ends and nothing else, so that text can be cut at them undecoded.
    pub fn shows_line_ends(self) -> bool {
        !matches!(self.0, Kind::Utf16 | Kind::Utf16Be | Kind::Utf16Le)
    }

    /// A decoder for one stream.
    pub fn decoder(self) -> Decoder {
        Decoder(match self.0 {
            Kind::Utf8 | Kind::Ascii => Step::Plain,
            Kind::Latin1 => Step::Latin1,
            Kind::Utf16 => Step::Table(encoding_rs::UTF_16BE.new_decoder()),
            Kind::Utf16Be => Step::Table(encoding_rs::UTF_16BE.new_decoder_without_bom_handling()),
            Kind::Utf16Le => Step::Table(encoding_rs::UTF_16LE.new_decoder_without_bom_handling()),
            Kind::Other(e) => Step::Table(e.new_decoder_without_bom_handling()),
        })
    }

    /// Bytes of this charset as UTF-8; `None` where they are none. UTF-8 is not copied.
    pub fn strictly(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        match self.0 {
            Kind::Utf8 => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Kind::Ascii => std::str::from_utf8(bytes).ok().filter(|t| t.is_ascii()).map(Cow::Borrowed),
            Kind::Latin1 => Some(encoding_rs::mem::decode_latin1(bytes)),
            Kind::Utf16 | Kind::Utf16Be => {
                encoding_rs::UTF_16BE.decode_without_bom_handling_and_without_replacement(bytes)
            }
            Kind::Utf16Le => encoding_rs::UTF_16LE.decode_without_bom_handling_and_without_replacement(bytes),
            Kind::Other(e) => e.decode_without_bom_handling_and_without_replacement(bytes),
        }
    }

    /// The bytes of a text; what the charset lacks becomes `?`.
    pub fn encode(self, text: &str) -> Vec<u8> {
        let up_to =
            |limit: u32| text.chars().map(|c| if c as u32 <= limit { c as u8 } else { b'?' }).collect();
        match self.0 {
            Kind::Utf8 => text.as_bytes().to_vec(),
            Kind::Ascii => up_to(0x7f),
            Kind::Latin1 => up_to(0xff),
            Kind::Utf16 | Kind::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Kind::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Kind::Other(e) => encode_by_table(e, text),
        }
    }
}

/// The encoding of a label, also in the form older Java versions use.
fn known(label: &str) -> Option<&'static Encoding> {
    let respelled = label.replacen("iso8859_", "iso-8859-", 1);
    let found = Encoding::for_label_no_replacement(label.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(respelled.as_bytes()))?;
    (found != encoding_rs::X_USER_DEFINED).then_some(found)
}

/// encoding_rs writes a numeric reference for what a charset lacks, so it goes character by character then.
fn encode_by_table(encoding: &'static Encoding, text: &str) -> Vec<u8> {
    let (bytes, _, lacking) = encoding.encode(text);
    if !lacking {
        return bytes.into_owned();
    }
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        let mut room = [0; 4];
        let (bytes, _, lacking) = encoding.encode(c.encode_utf8(&mut room));
        out.extend_from_slice(if lacking { b"?" } else { &bytes });
    }
    out
}

/// A stream of bytes becoming UTF-8. A character cut by the end of a piece waits inside for the next.
pub struct Decoder(Step);

enum Step {
    Plain,
    Latin1,
    Table(encoding_rs::Decoder),
}

impl Decoder {
    /// Appends the text of `bytes`; `last` when no more come, after which the decoder is used up.
    pub fn decode(&mut self, bytes: &[u8], last: bool, out: &mut Vec<u8>) {
        match &mut self.0 {
            Step::Plain => out.extend_from_slice(bytes),
            Step::Latin1 => {
                let mut room = [0; 1024];
                for piece in bytes.chunks(room.len() / 2) {
                    let written = encoding_rs::mem::convert_latin1_to_utf8(piece, &mut room);
                    out.extend_from_slice(&room[..written]);
                }
            }
            Step::Table(decoder) => decode_by_table(decoder, bytes, last, out),
        }
    }
}

fn decode_by_table(decoder: &mut encoding_rs::Decoder, mut bytes: &[u8], last: bool, out: &mut Vec<u8>) {
    let mut room = [0; 1024];
    loop {
        let (result, read, written, _) = decoder.decode_to_utf8(bytes, &mut room, last);
        out.extend_from_slice(&room[..written]);
        bytes = &bytes[read..];
        if result == CoderResult::InputEmpty {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoded whole; also one byte at a time, which must agree.
    fn decoded(name: &str, bytes: &[u8]) -> Vec<u8> {
        let charset = Charset::named(name).unwrap();
        let mut whole = Vec::new();
        charset.decoder().decode(bytes, true, &mut whole);
        let (mut slow, mut decoder) = (Vec::new(), charset.decoder());
        bytes.iter().for_each(|b| decoder.decode(&[*b], false, &mut slow));
        decoder.decode(&[], true, &mut slow);
        assert_eq!(slow, whole);
        whole
    }

    #[test]
    fn names_are_javas() {
        assert_eq!(Charset::named("UTF-8"), Some(Charset::UTF_8));
        assert_eq!(Charset::named("latin1"), Charset::named("ISO8859_1"));
        assert_ne!(Charset::named("ISO-8859-1"), Charset::named("windows-1252"));
        assert_eq!(Charset::named("ISO8859_15"), Charset::named("iso-8859-15"));
        for known in ["Cp1252", "Shift_JIS", "GBK", "Big5", "KOI8-R", "EUC-JP", "US-ASCII", "UTF-16LE"] {
            assert!(Charset::named(known).is_some(), "{known}");
        }
        for unknown in ["", "utf-9", "iso-2022-kr", "replacement", "x-user-defined", "UTF-32"] {
            assert_eq!(Charset::named(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn utf_8_and_ascii_pass_through() {
        assert_eq!(decoded("utf-8", b"a\xff\xc3\xa4"), b"a\xff\xc3\xa4");
        assert_eq!(decoded("us-ascii", b"a\xe4"), b"a\xe4");
    }

    #[test]
    fn latin_1_is_not_windows_1252() {
        assert_eq!(decoded("iso-8859-1", b"\x80\xe4"), "\u{80}\u{e4}".as_bytes());
        assert_eq!(decoded("windows-1252", b"\x80\xe4"), "\u{20ac}\u{e4}".as_bytes());
    }

    #[test]
    fn utf_16_takes_its_order_from_the_mark() {
        assert_eq!(decoded("utf-16", b"\xff\xfea\0"), b"a");
        assert_eq!(decoded("utf-16", b"\xfe\xff\0a"), b"a");
        assert_eq!(decoded("utf-16", b"\0a\xd8\x3d\xde\x00"), "a\u{1f600}".as_bytes());
        assert_eq!(decoded("utf-16le", b"a\0\n\0"), b"a\n");
        assert_eq!(decoded("utf-16be", b"\0a\0"), "a\u{fffd}".as_bytes());
    }

    #[test]
    fn long_text_takes_several_turns() {
        let text = "\u{e4}".repeat(5000);
        assert_eq!(decoded("utf-16le", &Charset::named("utf-16le").unwrap().encode(&text)), text.as_bytes());
    }

    #[test]
    fn answers_are_encoded() {
        let encode = |name: &str, text: &str| Charset::named(name).unwrap().encode(text);
        assert_eq!(encode("utf-8", "\u{e4}\n"), b"\xc3\xa4\n");
        assert_eq!(encode("latin1", "\u{e4}\u{20ac}\n"), b"\xe4?\n");
        assert_eq!(encode("us-ascii", "\u{e4}\n"), b"?\n");
        assert_eq!(encode("utf-16", "OK\n"), b"\0O\0K\0\n");
        assert_eq!(encode("utf-16le", "OK\n"), b"O\0K\0\n\0");
        assert_eq!(encode("koi8-r", "\u{416}\u{4e00}\n"), b"\xf6?\n");
    }
}
