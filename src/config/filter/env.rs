//! The config filter `env`: variables of the environment.

use super::{ConfigFilter, ConfigFilterSpec, Given};
use crate::config::{Declared, Kind, Spec};

pub(super) static SPEC: ConfigFilterSpec = Spec {
    declared: Declared {
        kind: Kind::ConfigFilter,
        name: "env",
        class: "org.apache.flume.configfilter.EnvironmentVariableConfigFilter",
        help: "Values from variables of the environment",
        keys: &[],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build: |_| Box::new(Env),
};

struct Env;

impl ConfigFilter for Env {
    fn get(&mut self, key: &str) -> Result<Given, String> {
        match std::env::var(key) {
            Ok(value) => Ok(Given { value, warning: None }),
            Err(std::env::VarError::NotPresent) => Err(format!("the environment has no {key}")),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(format!("the environment's {key} is no UTF-8 text"))
            }
        }
    }
}
