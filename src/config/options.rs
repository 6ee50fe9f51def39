//! What the command line says beside the configuration: passed from `cli` to the agent.
//!
//! Plain data, made once by the main thread before anything runs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How the agent is to run.
#[derive(Clone, Default, PartialEq, Eq)]
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

/// Of the properties only the names: values may be passwords.
impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("properties", &self.properties.keys())
            .field("heap", &self.heap)
            .field("lenient", &self.lenient)
            .field("reload", &self.reload)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_has_names_of_properties_only() {
        let mut options = RunOptions { heap: Some(7), ..RunOptions::default() };
        options.properties.insert("db.password".into(), "hush".into());
        let text = format!("{options:?}");
        assert!(text.contains("db.password") && text.contains("heap: Some(7)"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}
