//! Handlers of the http source: what makes events of requests. One file each, one line in [`ALL`].

use crate::component::HandlerSpec;

mod blob;
mod json;
#[cfg(test)]
mod testing;
mod xml;

/// Every handler, by its name in the source's `handler`.
pub static ALL: &[&HandlerSpec] = &[&json::SPEC, &blob::BLOB, &blob::CORE, &xml::SPEC];
