//! The http source: requests whose bodies a handler makes events of.

pub mod handler;
