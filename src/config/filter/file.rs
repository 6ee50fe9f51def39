//! The config filter `file`: a directory with a file for each key, as Docker and Kubernetes give secrets.
//!
//! Flume has no such filter. A key is one of letters, digits, `-` and `_`, so it cannot lead out of the directory.

use super::{first_line, ConfigFilter, ConfigFilterSpec, Given, LONGEST_VALUE};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub(super) static SPEC: ConfigFilterSpec = Spec {
    declared: Declared {
        kind: Kind::ConfigFilter,
        name: "file",
        class: "",
        help: "Values from the files of a directory, one for each key (not in Flume)",
        keys: &[&[Key::new(
            "directory",
            Type::Path,
            Default::Required,
            "where the files are; the first line of the file named as the key is the value",
        )]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &[],
    },
    build,
};

fn build(ctx: &Context) -> Box<dyn ConfigFilter> {
    let directory = ctx.text("directory").unwrap_or_default();
    Box::new(Files {
        shown: ctx.shown("directory", directory).to_owned(),
        directory: PathBuf::from(directory),
    })
}

struct Files {
    directory: PathBuf,
    shown: String,
}

impl ConfigFilter for Files {
    fn get(&mut self, key: &str) -> Result<Given, String> {
        let path = self.directory.join(key);
        let shown = format!("{}/{key}", self.shown);
        let cannot = |e: std::io::Error| format!("{shown} cannot be read: {e}");
        let facts = std::fs::metadata(&path).map_err(cannot)?;
        // Anything else may never end, or may wait for a writer.
        if !facts.is_file() {
            return Err(format!("{shown} is not a file"));
        }
        let mut bytes = Vec::new();
        let limit = LONGEST_VALUE as u64 + 1;
        File::open(&path).and_then(|f| f.take(limit).read_to_end(&mut bytes)).map_err(cannot)?;
        if bytes.len() > LONGEST_VALUE {
            return Err(format!("{shown} has more than {} KiB", LONGEST_VALUE >> 10));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("{shown} is no UTF-8 text"))?;
        let mut given = first_line(&text, &shown)?;
        if self.is_open_to_all(&facts) {
            given.warning.get_or_insert(format!("every user of this host can read {shown}"));
        }
        Ok(given)
    }
}

impl Files {
    /// Whether users who are neither owner nor group can read the file.
    fn is_open_to_all(&self, file: &Metadata) -> bool {
        let may_enter = std::fs::metadata(&self.directory).is_ok_and(|d| d.permissions().mode() & 0o001 != 0);
        may_enter && file.permissions().mode() & 0o004 != 0
    }
}
