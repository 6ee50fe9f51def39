//! A simulated directory: the names there are, those that the disk has for certain, and the changes in between.
//!
//! After a power cut each change that was not synced has happened or not, whatever became of the ones before it: that
//! is stricter than journals are, which keep the order. A file never has two names in a directory, though: a name that
//! comes takes away the one the file had.

use super::random::Luck;
use std::collections::BTreeMap;

/// Which file: the number of its inode.
pub type Id = u64;

type Names = BTreeMap<String, Id>;

#[derive(Clone, Default)]
pub struct Directory {
    current: Names,
    durable: Names,
    unsynced: Vec<Change>,
}

/// What happens at once: a name goes, a name comes or, in a rename, both.
#[derive(Clone)]
struct Change {
    goes: Option<String>,
    comes: Option<(String, Id)>,
}

impl Directory {
    pub fn find(&self, name: &str) -> Option<Id> {
        self.current.get(name).copied()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.current.keys().map(String::as_str)
    }

    /// The files that have a name.
    pub fn files(&self) -> impl Iterator<Item = Id> + '_ {
        self.current.values().copied()
    }

    /// The files that have a name now, or may have one after a power cut.
    pub fn files_at_any_time(&self) -> impl Iterator<Item = Id> + '_ {
        let unsynced = self.unsynced.iter().filter_map(|c| c.comes.as_ref()).map(|(_, id)| *id);
        self.files().chain(self.durable.values().copied()).chain(unsynced)
    }

    pub fn add(&mut self, name: &str, id: Id) {
        self.change(Change { goes: None, comes: Some((name.to_owned(), id)) });
    }

    pub fn remove(&mut self, name: &str) {
        self.change(Change { goes: Some(name.to_owned()), comes: None });
    }

    /// Gives the file another name, in one step.
    pub fn rename(&mut self, from: &str, to: &str, id: Id) {
        self.change(Change { goes: Some(from.to_owned()), comes: Some((to.to_owned(), id)) });
    }

    pub fn sync(&mut self) {
        self.durable = self.current.clone();
        self.unsynced.clear();
    }

    pub fn after_power_cut(&self, luck: &mut Luck) -> Directory {
        let mut luck = luck.of_one();
        let mut names = self.durable.clone();
        for change in self.unsynced.iter().filter(|_| luck.keeps()) {
            change.apply(&mut names);
        }
        Directory { current: names.clone(), durable: names, unsynced: Vec::new() }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut Names) {
        if let Some(name) = &self.goes {
            names.remove(name);
        }
        if let Some((name, id)) = &self.comes {
            names.retain(|_, other| other != id);
            names.insert(name.clone(), *id);
        }
    }
}
