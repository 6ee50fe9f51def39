//! What the http source asks of a handler: a request becomes events, or an error that becomes the status of its answer.

use crate::codec::http::Request;
use crate::codec::BatchLimits;
use crate::config::{Context, Spec};
use crate::event::Batch;
use std::fmt;
use std::time::Duration;

/// Makes events of requests. One value serves all connections of a source.
///
/// Called by the event loop's thread, which serves other connections too: it must not block, unless
/// [`may_block`](HttpHandler::may_block) says so. A panic ends the connection it happened on.
pub trait HttpHandler: Send + Sync {
    /// Adds the request's events to an empty batch. They are stored together or refused together: none of a request that
    /// fails is stored, and 200 is answered once all are in every required channel. No events are a success too. Bodies
    /// and header values may be spans of the request's body. `limits` says how much the channels take at once: above it
    /// the request is refused (413), so a handler may stop there with [`HandlerError::TooLarge`].
    fn handle(
        &self,
        request: &Request<'_>,
        limits: BatchLimits,
        batch: &mut Batch,
    ) -> Result<(), HandlerError>;

    /// Whether it may wait for something (a file, a name, another server). It is then called by a thread of a small pool,
    /// for the requests of one connection in their order.
    fn may_block(&self) -> bool {
        false
    }
}

/// Why a request gets no events, by what its sender is told. The text goes into the answer's body and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandlerError {
    /// 400: the request is wrong, and will be when it comes again. Flume's `HTTPBadRequestException`.
    BadRequest(String),
    /// 413: more than the handler or the channels take at once.
    TooLarge(String),
    /// 415: not a type, charset or coding that the handler reads.
    UnsupportedMediaType(String),
    /// 503: not now; the sender may try again after this time.
    Unavailable { why: String, retry_after: Duration },
    /// 500: the handler failed, whatever the request is. What Flume answers to any other exception.
    Internal(String),
}

impl HandlerError {
    /// The status code of the answer (RFC 9110, 15).
    pub fn status(&self) -> u16 {
        match self {
            HandlerError::BadRequest(_) => 400,
            HandlerError::TooLarge(_) => 413,
            HandlerError::UnsupportedMediaType(_) => 415,
            HandlerError::Internal(_) => 500,
            HandlerError::Unavailable { .. } => 503,
        }
    }

    pub fn why(&self) -> &str {
        match self {
            HandlerError::BadRequest(why)
            | HandlerError::TooLarge(why)
            | HandlerError::UnsupportedMediaType(why)
            | HandlerError::Internal(why)
            | HandlerError::Unavailable { why, .. } => why,
        }
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}

impl std::error::Error for HandlerError {}

pub type BuildHandler = fn(&Context) -> Box<dyn HttpHandler>;
pub type HandlerSpec = Spec<BuildHandler>;
