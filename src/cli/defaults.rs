//! `flume.opts`: options of the agent that the command line need not repeat, as a properties file.
//!
//! As in Flume: `/etc/flume/flume.opts`, else `flume.opts` in the directory of --conf; each property is an option and
//! its value, the command line wins. Read once by the main thread.

use crate::config::{properties, Problems};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of a host, whoever is its agent.
pub const OF_HOST: &str = "/etc/flume/flume.opts";

/// One option of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Stated {
    pub option: String,
    pub value: String,
    /// File and line.
    pub place: String,
}

/// The options of the first of these files that is there.
pub fn read(files: &[PathBuf]) -> Result<Vec<Stated>, Vec<String>> {
    let Some(path) = files.iter().find(|f| f.exists()) else { return Ok(Vec::new()) };
    let label: Arc<str> = path.to_string_lossy().into();
    let bytes = std::fs::read(path).map_err(|e| vec![format!("{label}: cannot be read: {e}")])?;
    let mut problems = Problems::default();
    let found = properties::parse(&label, &bytes, &mut problems);
    if problems.errors() > 0 {
        return Err(problems.sorted().iter().map(|p| p.to_string()).collect());
    }
    let stated = found.into_iter().map(|p| Stated {
        place: format!("{label}:{}", p.place.line),
        option: p.name,
        value: p.value,
    });
    Ok(stated.collect())
}

/// The files to look for, in order.
pub fn files(conf: &[String]) -> Vec<PathBuf> {
    let of_conf = conf.iter().map(|dir| Path::new(dir).join("flume.opts"));
    std::iter::once(PathBuf::from(OF_HOST)).chain(of_conf).collect()
}
