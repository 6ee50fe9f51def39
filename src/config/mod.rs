//! Configuration: from the text of a properties file to checked settings per component.
//!
//! `loader` reads the files and URIs (each an `origin`), `properties` is their grammar, `interpolate` replaces
//! expressions, `tree` sorts properties into agents and components, `filter` asks for secrets, `wiring` resolves
//! what refers to what, `context` holds one component's typed settings, `spec` is how components declare their
//! keys, `sink_keys` those that all sinks have, `problem` collects what is wrong, `suggest` what was meant. Everything runs on the
//! thread that starts or reloads the agent.

mod context;
mod filter;
pub mod globals;
mod interpolate;
mod loader;
mod nearest;
mod options;
mod origin;
mod plan;
mod problem;
pub mod properties;
mod property;
mod sink_keys;
mod spec;
mod suggest;
pub mod tree;
mod value;
mod wiring;

#[cfg(test)]
pub mod testing;

pub use context::{unknown_type, Added, Catalog, Context, Doubtful, GroupCheck, GroupFinding};
pub use filter::{BuildConfigFilter, ConfigFilter, ConfigFilterSpec, Given, CONFIG_FILTERS};
pub use loader::Loader;
pub use nearest::nearest;
pub use options::RunOptions;
pub use origin::{Credentials, Origin};
pub use plan::{Plan, Planned, PlannedGroup, PlannedSink, PlannedSource};
pub use problem::{Place, Problem, Problems, Severity};
pub use property::Property;
pub use sink_keys::{DEAD_LETTER_FILE, MAX_DELIVERY_ATTEMPTS};
pub use spec::{Bad, Check, Declared, Default, Key, Kind, Spec, Type};
pub use value::header_key;
pub use wiring::{load, resolve, Text};
