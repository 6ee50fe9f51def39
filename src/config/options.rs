//! What the command line says beside the configuration: passed from `cli` to the agent.
//!
//! Plain data, made once by the main thread before anything runs.

use std::collections::BTreeMap;
use std::time::Duration;

/// How the agent is to run.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct RunOptions {
    /// The `-Dname=value` words; Java's system properties to Flume.
    pub properties: BTreeMap<String, String>,
    /// `-Xmx` in bytes: stands for the heap that byteCapacity's default is a share of.
    pub heap: Option<u64>,
    /// Run what is not broken, as Flume does.
    pub lenient: bool,
    /// How often to look for a changed configuration; `None`: never.
    pub reload: Option<Duration>,
}
