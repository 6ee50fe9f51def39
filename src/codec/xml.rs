//! Events as XML, in the form of the book "Using Flume" (reference, sources.md 15), with names of one's own if need be:
//!
//! ```text
//!   <events>
//!     <event> <headers> <name>value</name> ... </headers> <body>text</body> </event> ...
//!   </events>
//! ```
//! The root's name fits in any case. Several `headers` of an event are one; a name comes once. An event without a body has
//! an empty one; two bodies, markup within a text, and text between elements are errors, as none of it could be kept. Document
//! types are refused, and with them every entity but the five that XML has and character references.

use super::gather::{Gather, Wrong};
use super::posted::{Charset, Text};
use crate::event::{Batch, Key, Span};
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

/// What elements are called, and what of them becomes a header.
pub struct Shape {
    pub root: String,
    pub event: String,
    pub headers: String,
    pub body: String,
    /// Put before the names of headers.
    pub prefix: String,
    /// Whether the attributes of an event's element are headers, too.
    pub attributes: bool,
}

/// What the event's element is in, and what is being read.
enum At {
    Begin,
    Root,
    Event,
    Headers,
    /// A header of this name.
    Header(String),
    Body,
    End,
}

/// Puts the events of a document into an empty batch; at most so many. `timestamp`: a header for those without one.
pub fn read(
    text: &Text<'_>,
    shape: &Shape,
    timestamp: Option<u64>,
    most: usize,
    batch: &mut Batch,
) -> Result<(), Wrong> {
    let mut reader = Reader::from_str(text.as_str());
    reader.config_mut().expand_empty_elements = true;
    let segment = batch.attach(text.buffer());
    let timestamp = timestamp.map(|ms| batch.store(ms.to_string().as_bytes()));
    let gather = Gather::new(most);
    let content = Content::default();
    let mut document = Document { text, shape, segment, batch, gather, content, body: None, timestamp };
    let mut at = At::Begin;
    loop {
        let event = reader.read_event();
        let before = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let place = || format!(" at line {}", line(text.as_str(), before));
        let event = event.map_err(|e| Wrong::Syntax(format!("{e}{}", place())))?;
        if let Event::Eof = event {
            return match at {
                At::End => Ok(()),
                _ => Err(Wrong::Syntax("it ends too early".to_owned())),
            };
        }
        at = document.step(at, event).map_err(|wrong| match wrong {
            Wrong::Syntax(why) => Wrong::Syntax(why + &place()),
            excess => excess,
        })?;
    }
}

/// The number of the line at this byte.
fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

struct Document<'a, 't> {
    text: &'a Text<'t>,
    shape: &'a Shape,
    segment: u16,
    batch: &'a mut Batch,
    gather: Gather,
    content: Content<'a>,
    body: Option<Span>,
    timestamp: Option<Span>,
}

/// The text of an element: one piece of the document, or put together.
#[derive(Default)]
struct Content<'a> {
    piece: &'a str,
    made: String,
}

impl<'a> Document<'a, '_> {
    fn step(&mut self, at: At, event: Event<'a>) -> Result<At, Wrong> {
        match event {
            Event::Start(start) => self.start(at, &start),
            Event::End(_) => self.end(at),
            Event::Text(text) => {
                let piece = text.xml10_content();
                self.piece(at, piece)
            }
            Event::CData(text) => {
                let piece = text.xml10_content();
                self.piece(at, piece)
            }
            Event::GeneralRef(name) => {
                let made = resolved(&name)?;
                self.piece(at, made.into())
            }
            Event::DocType(_) => Err(wrong("a document type is not read")),
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::Empty(_) | Event::Eof => Ok(at),
        }
    }

    fn start(&mut self, at: At, start: &BytesStart<'_>) -> Result<At, Wrong> {
        let name = start.name().into_inner();
        let shape = self.shape;
        match at {
            At::Begin if name.eq_ignore_ascii_case(&shape.root) => Ok(At::Root),
            At::Begin => Err(wrong(format!("the root element is {name}, {} was expected", shape.root))),
            At::Root if name == shape.event => {
                self.gather.begin();
                self.body = None;
                if shape.attributes {
                    self.attributes(start)?;
                }
                Ok(At::Event)
            }
            At::Event if name == shape.headers => Ok(At::Headers),
            At::Event if name == shape.body && self.body.is_none() => {
                self.content = Content::default();
                Ok(At::Body)
            }
            At::Headers => {
                self.content = Content::default();
                Ok(At::Header(name.to_owned()))
            }
            _ => Err(wrong(format!("the element {name} is not expected here"))),
        }
    }

    fn attributes(&mut self, start: &BytesStart<'_>) -> Result<(), Wrong> {
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|e| wrong(e.to_string()))?;
            let value =
                attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| wrong(e.to_string()))?;
            let value = self.batch.store(value.as_bytes());
            self.header(attribute.key.into_inner(), value)?;
        }
        Ok(())
    }

    fn header(&mut self, name: &str, value: Span) -> Result<(), Wrong> {
        match self.shape.prefix.as_str() {
            "" => self.gather.header(name, value, self.batch),
            prefix => self.gather.header(&format!("{prefix}{name}"), value, self.batch),
        }
    }

    fn end(&mut self, at: At) -> Result<At, Wrong> {
        Ok(match at {
            At::Header(name) => {
                let value = self.place(Charset::Utf8);
                self.header(&name, value)?;
                At::Headers
            }
            At::Headers => At::Event,
            At::Body => {
                self.body = Some(self.place(self.text.charset()));
                At::Event
            }
            At::Event => {
                if let Some(value) = self.timestamp.filter(|_| !self.gather.has(Key::TIMESTAMP)) {
                    self.gather.header(Key::TIMESTAMP.name(), value, self.batch)?;
                }
                self.gather.end(self.body.take().unwrap_or_default(), self.batch)?;
                At::Root
            }
            At::Root | At::Begin | At::End => At::End,
        })
    }

    /// A piece of text, which belongs to a header or a body.
    fn piece(&mut self, at: At, piece: std::borrow::Cow<'a, str>) -> Result<At, Wrong> {
        match at {
            At::Header(_) | At::Body => self.content.add(piece),
            _ if piece.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']).is_empty() => {}
            _ => return Err(wrong("text is not expected here")),
        }
        Ok(at)
    }

    /// What was gathered, in the batch.
    fn place(&mut self, charset: Charset) -> Span {
        let Content { piece, made } = std::mem::take(&mut self.content);
        let text = if made.is_empty() { piece } else { &made };
        match self.text.offset_of(text).filter(|_| made.is_empty() && charset == Charset::Utf8) {
            Some(from) => self.batch.span_of(self.segment, from, from + text.len()),
            None => self.batch.store(&charset.encode(text)),
        }
    }
}

impl<'a> Content<'a> {
    fn add(&mut self, piece: std::borrow::Cow<'a, str>) {
        match piece {
            std::borrow::Cow::Borrowed(piece) if self.made.is_empty() && self.piece.is_empty() => {
                self.piece = piece
            }
            piece => {
                if self.made.is_empty() {
                    self.made.push_str(self.piece);
                }
                self.made.push_str(&piece);
            }
        }
    }
}

/// The character that a reference stands for.
fn resolved(name: &BytesRef<'_>) -> Result<String, Wrong> {
    if let Some(c) = name.resolve_char_ref().map_err(|e| wrong(e.to_string()))? {
        return Ok(c.to_string());
    }
    match resolve_predefined_entity(name) {
        Some(text) => Ok(text.to_owned()),
        None => Err(wrong(format!("the entity &{:.40}; is not known", &**name))),
    }
}

fn wrong(why: impl Into<String>) -> Wrong {
    Wrong::Syntax(why.into())
}

/// What the declaration of a document says of its encoding, where its bytes are those of ASCII.
pub fn declared_encoding(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let end = bytes.iter().take(256).position(|b| *b == b'>')?;
    let declaration = std::str::from_utf8(&bytes[..end]).ok()?.strip_prefix("<?xml")?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split(quote).next()
}

#[cfg(test)]
mod tests;
