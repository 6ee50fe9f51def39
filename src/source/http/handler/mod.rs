//! Handlers of the http source: what makes events of requests. One file each, one line in [`ALL`].

use crate::component::HandlerSpec;

/// Every handler, by its name in the source's `handler`.
pub static ALL: &[&HandlerSpec] = &[];
