//! Reads a configuration, again when it is to be read again: where it comes from, and for whom.
//!
//! The agent keeps one to reload itself: it asks now and then whether something has changed, and loads then. Used by
//! one thread at a time, which waits for files, for config filters and for the web; no locks.

use super::context::Catalog;
use super::options::RunOptions;
use super::origin::Origin;
use super::plan::Plan;
use super::problem::Problems;
use super::spec::Declared;
use super::wiring::{load, Text};

/// Everything that is needed to read a configuration once more.
pub struct Loader {
    origins: Vec<Tracked>,
    /// The last load lacked an origin: what it read of the others has not been applied.
    is_incomplete: bool,
    agent: String,
    options: RunOptions,
    catalog: &'static dyn Catalog,
    agent_declared: &'static Declared,
}

struct Tracked {
    origin: Origin,
    /// Its failure was told, and lasts.
    is_told: bool,
}

impl Loader {
    /// `origins` in the order in which later ones go over earlier ones.
    pub fn new(
        origins: Vec<Origin>,
        agent: String,
        options: RunOptions,
        catalog: &'static dyn Catalog,
        agent_declared: &'static Declared,
    ) -> Loader {
        let origins = origins.into_iter().map(|origin| Tracked { origin, is_told: false }).collect();
        Loader { origins, is_incomplete: false, agent, options, catalog, agent_declared }
    }

    /// Reads everything anew. `None`: nothing could run; what is wrong is among the problems, and may be an error
    /// of a part only when there is a plan.
    pub fn load(&mut self, problems: &mut Problems) -> Option<Plan> {
        let mut texts = Vec::new();
        self.is_incomplete = false;
        for t in &mut self.origins {
            let place = t.origin.place();
            if t.origin.is_other_format() {
                let what =
                    "skipped, as in Flume: only the properties format is read, whatever its name ends with";
                problems.warning(&place, "", what);
                continue;
            }
            match t.origin.read() {
                Ok(bytes) => texts.push(Text { file: place.file, bytes }),
                Err(why) => {
                    problems.error(&place, "", why);
                    self.is_incomplete = true;
                }
            }
        }
        // A part of a configuration is another configuration.
        if self.is_incomplete {
            return None;
        }
        load(&texts, &self.agent, &self.options, self.catalog, self.agent_declared, problems)
    }

    /// Whether something is there that was not loaded yet. What cannot be read now counts as unchanged, and is
    /// told once. After a load that lacked something: whether everything is there again, and only then.
    pub fn has_changed(&mut self) -> bool {
        let mut is_changed = false;
        let mut is_complete = true;
        for t in self.origins.iter_mut().filter(|t| !t.origin.is_other_format()) {
            match t.origin.has_changed() {
                Ok(changed) => {
                    is_changed |= changed;
                    t.is_told = false;
                }
                Err(why) => {
                    is_complete = false;
                    if !std::mem::replace(&mut t.is_told, true) {
                        let file = t.origin.place().file;
                        log::warn!("{file}: {why}; the configuration that runs stays");
                    }
                }
            }
        }
        match self.is_incomplete {
            true => is_complete,
            false => is_changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{Known, AGENT};

    const GOOD: &str = "a.sources = r\na.channels = c\na.sources.r.type = seq\na.sources.r.channels = c\n\
                        a.channels.c.type = memory\n";

    #[test]
    fn later_files_hold_and_changes_are_seen() {
        let path = |n: &str| {
            let file = std::env::temp_dir().join(format!("flumed-loader-{}-{n}", std::process::id()));
            file.to_str().unwrap().to_owned()
        };
        let (one, two, other) = (path("1"), path("2"), path("3.json"));
        std::fs::write(&one, GOOD).unwrap();
        std::fs::write(&two, "a.sources.r.batchSize = 7\na.channels.c.capacity = 9\n").unwrap();
        let origins = [&one, &two, &other].map(|p| Origin::file(p)).into();
        let mut loader = Loader::new(origins, "a".into(), RunOptions::default(), &Known, &AGENT);
        let load = |loader: &mut Loader| {
            let mut problems = Problems::default();
            let plan = loader.load(&mut problems);
            let said: Vec<String> = problems.sorted().iter().map(|p| p.to_string()).collect();
            (plan.map(|p| p.sources[0].planned.context.int("batchSize").unwrap()), said)
        };
        let (batch, said) = load(&mut loader);
        assert_eq!(batch, Some(7));
        assert!(said.len() == 2 && said[1].contains("3.json: warning: skipped"), "{said:?}");
        assert!(!loader.has_changed());
        std::fs::write(&two, "a.sources.r.batchSize = 8\na.sources.r.type = null\n").unwrap();
        std::fs::write(&one, format!("{GOOD}a.sources.r.batchSize = 5\n")).unwrap();
        assert!(loader.has_changed());
        let (batch, said) = load(&mut loader);
        assert_eq!(batch, None);
        let two_shown = format!("{two}:1: a.sources.r.batchSize: note: holds over {one}:6");
        assert!(said.contains(&two_shown), "{said:?}");
        assert!(!loader.has_changed(), "a wrong configuration is loaded once");
        std::fs::remove_file(&two).unwrap();
        assert!(!loader.has_changed());
        let (batch, said) = load(&mut loader);
        assert!(batch.is_none() && said.iter().any(|s| s.contains("cannot be read")), "{said:?}");
        std::fs::remove_file(&one).unwrap();
    }

    #[test]
    fn what_was_read_beside_a_missing_file_is_loaded_when_that_is_back() {
        let path = |n: &str| {
            let file = std::env::temp_dir().join(format!("flumed-loader-{}-{n}", std::process::id()));
            file.to_str().unwrap().to_owned()
        };
        let (one, two, away) = (path("here"), path("there"), path("away"));
        std::fs::write(&one, GOOD).unwrap();
        std::fs::write(&two, "a.channels.c.capacity = 900\n").unwrap();
        let origins = [&one, &two].map(|p| Origin::file(p)).into();
        let mut loader = Loader::new(origins, "a".into(), RunOptions::default(), &Known, &AGENT);
        let batch = |loader: &mut Loader| {
            let plan = loader.load(&mut Problems::default());
            plan.map(|p| p.sources[0].planned.context.int("batchSize").unwrap())
        };
        assert_eq!(batch(&mut loader), Some(100));
        std::fs::rename(&two, &away).unwrap();
        std::fs::write(&one, format!("{GOOD}a.sources.r.batchSize = 5\n")).unwrap();
        assert!(loader.has_changed());
        assert_eq!(batch(&mut loader), None);
        std::fs::write(&one, format!("{GOOD}a.sources.r.batchSize = 6\n")).unwrap();
        assert!(!loader.has_changed() && !loader.has_changed(), "one is still missing");
        std::fs::rename(&away, &two).unwrap();
        assert!(loader.has_changed());
        assert_eq!(batch(&mut loader), Some(6));
        assert!(!loader.has_changed(), "all is loaded");
        std::fs::remove_file(&one).unwrap();
        std::fs::remove_file(&two).unwrap();
    }

    #[test]
    fn a_loader_may_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Loader>();
    }
}
