//! Which channel the data directories belong to, and whether all of it are there.
//!
//! A directory that another channel owns, one that is a copy, and one that is missing and may hold events stop the start;
//! new ones are given their ids. Called by recovery, under the locks.

use super::super::checkpoint::Checkpoint;
use super::super::identity::{self, short, Identity};
use super::super::segment::{Id, NotASegment};
use super::Recovery;
use std::path::PathBuf;

impl Recovery {
    /// The channel, and the id of each directory. New ones are given theirs.
    pub(super) fn identities(
        &self,
        dirs: &[PathBuf],
        stored: &[Checkpoint],
    ) -> Result<(Id, Vec<Id>), String> {
        let mut known = Vec::new();
        for dir in dirs {
            let why = |e: &dyn std::fmt::Display| format!("{}/{}: {e}", dir.display(), identity::NAME);
            known.push(match Identity::read(self.fs.as_ref(), dir).map_err(|e| why(&e))? {
                None => None,
                Some(Ok(i)) => Some(i),
                Some(Err(NotASegment::Newer(v))) => {
                    return Err(why(&format!("has format version {v}, which this flumed does not know")))
                }
                Some(Err(NotASegment::Damaged)) => {
                    return Err(why(&"is damaged; 'flumed tool channel repair' writes it anew"))
                }
            });
        }
        let channel = match known.iter().flatten().next() {
            Some(i) => i.channel,
            None => match stored.first() {
                // Whose data is elsewhere, unless there was none.
                Some(c) if !c.live.is_empty() => {
                    return Err(format!(
                        "{} has a checkpoint of channel {} with {} events, but no data directory holds any: is one not mounted, or dataDirs wrong?",
                        self.fixed.checkpoint_dir.display(), short(&c.channel), c.live.count()
                    ))
                }
                _ => self.random()?,
            },
        };
        for (dir, i) in dirs.iter().zip(&known).filter_map(|(d, i)| Some((d, i.as_ref()?))) {
            if i.channel != channel {
                let (theirs, ours) = (short(&i.channel), short(&channel));
                let first = dirs[0].display();
                return Err(format!("{} belongs to channel {theirs}, {first} to {ours}", dir.display()));
            }
        }
        let mut ids = Vec::new();
        for (dir, i) in dirs.iter().zip(&known) {
            let id = match i {
                Some(i) => i.dir,
                None => self.random()?,
            };
            if ids.contains(&id) {
                return Err(format!("{} is a copy of another data directory of this channel", dir.display()));
            }
            ids.push(id);
        }
        self.refuse_missing(&ids, &known, stored, channel)?;
        let listed: Vec<(Id, String)> =
            ids.iter().zip(&self.fixed.data_dirs).map(|(id, d)| (*id, d.display().to_string())).collect();
        let write = |i: usize, listed: &[(Id, String)]| {
            let identity = Identity { channel, dir: ids[i], dirs: listed.to_vec() };
            if known[i].as_ref() == Some(&identity) {
                return Ok(());
            }
            identity.write(self.fs.as_ref(), &dirs[i]).map_err(|e| format!("{}: {e}", dirs[i].display()))
        };
        // No list names a directory that does not know its own name yet: after a start that was cut short here that
        // would be missed for ever.
        for i in (0..dirs.len()).filter(|i| known[*i].is_none() && dirs.len() > 1) {
            write(i, &listed[i..=i])?;
        }
        for i in 0..dirs.len() {
            write(i, &listed)?;
        }
        Ok((channel, ids))
    }

    /// A directory that the channel had and that is not configured must not hold anything.
    fn refuse_missing(
        &self,
        ids: &[Id],
        known: &[Option<Identity>],
        stored: &[Checkpoint],
        channel: Id,
    ) -> Result<(), String> {
        let newest = stored.iter().find(|c| c.channel == channel);
        for (id, path) in known.iter().flatten().flat_map(|i| &i.dirs).filter(|(id, _)| !ids.contains(id)) {
            let holds = |c: &Checkpoint| {
                let dir = c.dirs.iter().find(|d| d.id == *id);
                dir.is_some_and(|d| {
                    // One that was not sealed may hold what came after.
                    d.segments.iter().any(|(_, s)| s.end.is_none() || c.live.overlaps(s.puts.0..s.puts.1))
                })
            };
            if newest.is_none_or(holds) {
                return Err(format!(
                    "data directory {path} of this channel is not there: it may hold events; is it not mounted, or missing from dataDirs?"
                ));
            }
        }
        Ok(())
    }
}
