//! Configuration: from the text of a properties file to checked settings per component.
//!
//! `properties` reads the grammar, `tree` sorts properties into agents and components, `wiring` resolves what
//! refers to what, `context` holds one component's typed settings, `spec` is how components declare their
//! keys, `problem` collects what is wrong. Everything runs on the thread that starts the agent.

mod context;
mod nearest;
mod options;
mod plan;
mod problem;
pub mod properties;
mod spec;
pub mod tree;
mod wiring;

#[cfg(test)]
pub mod testing;

pub use context::{unknown_type, Catalog, Context, Property};
pub use nearest::nearest;
pub use options::RunOptions;
pub use plan::{Plan, Planned, PlannedSink, PlannedSource};
pub use problem::{Place, Problem, Problems, Severity};
pub use spec::{Bad, Check, Declared, Default, Key, Kind, Spec, Type};
pub use wiring::{load, resolve};
