//! For tests of handlers: a request, and the events it becomes.

use crate::codec::feed::Seen;
use crate::codec::http::{Header, Request};
use crate::codec::{BatchLimits, Chunk};
use crate::component::{HandlerError, HttpHandler};
use crate::event::{Batch, Buffer};

#[derive(Default)]
pub struct Asked<'a> {
    pub query: &'a str,
    pub content_type: Option<&'a str>,
    pub body: &'a [u8],
}

/// Of channels that take a hundred events at once.
pub fn ask(handler: &dyn HttpHandler, asked: Asked<'_>) -> Result<Vec<Seen>, HandlerError> {
    let buffer = Buffer::owned([b"head", asked.body].concat());
    let header = asked.content_type.map(|t| Header { name: "Content-Type", value: t.as_bytes() });
    let headers: Vec<Header<'_>> = header.into_iter().collect();
    let request = Request {
        method: "POST",
        path: "/",
        query: asked.query,
        headers: &headers,
        body: Chunk { buffer: &buffer, from: 4, to: buffer.len() },
    };
    let mut batch = Batch::new();
    handler.handle(&request, BatchLimits { events: 100, bytes: 1 << 20 }, &mut batch)?;
    Ok(Seen::all(&batch))
}
