//! Where log lines go: standard error, from a level that either environment or command line gives.
//!
//! Called once by the main thread before anything logs.

use log::LevelFilter;
use std::collections::BTreeMap;

/// Sets the logger up. `RUST_LOG` wins over `-Dflume.root.logger=LEVEL,appender`, which Flume's users write;
/// without either: INFO.
pub fn start(properties: &BTreeMap<String, String>) {
    let level = properties.get("flume.root.logger").and_then(|v| level(v)).unwrap_or(LevelFilter::Info);
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level).parse_default_env().is_test(cfg!(test));
    // A second logger in one process (tests) is no harm: the first one stays.
    let _ = builder.try_init();
}

/// The level of a log4j logger setting; the appenders behind the comma mean nothing here.
fn level(setting: &str) -> Option<LevelFilter> {
    let word = setting.split(',').next().unwrap_or_default().trim();
    Some(match word.to_ascii_uppercase().as_str() {
        "OFF" => LevelFilter::Off,
        "FATAL" | "ERROR" => LevelFilter::Error,
        "WARN" => LevelFilter::Warn,
        "INFO" => LevelFilter::Info,
        "DEBUG" => LevelFilter::Debug,
        "TRACE" | "ALL" => LevelFilter::Trace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_log4js() {
        assert_eq!(level("DEBUG,console"), Some(LevelFilter::Debug));
        assert_eq!(level(" all , LOGFILE"), Some(LevelFilter::Trace));
        assert_eq!((level("console"), level("")), (None, None));
    }
}
