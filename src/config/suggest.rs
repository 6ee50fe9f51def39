//! The key that an unknown one of a component was probably meant to be: a slip, right in another place, or cut short by a
//! blank. Pure.

use super::nearest::closeness;
use super::spec::{Declared, Key, Kind, Type};

/// Shorter beginnings of keys are those of too many.
const SHORTEST: usize = 4;

/// The suggestion, as the user writes it: with the word that the keys of some kinds stand under.
pub fn key(declared: &Declared, word: &str, reserved: &[&str]) -> Option<String> {
    let kind = declared.kind;
    let own: Vec<Candidate> = declared.all_keys().map(|k| Candidate::of(k, kind, word)).collect();
    let others = reserved.iter().map(|name| Candidate::plain(name, word));
    let all: Vec<Candidate> = own.into_iter().chain(others).collect();
    let near = all.iter().filter_map(|c| Some((closeness(c.word, c.name)?, &c.whole))).min();
    let found = near.map(|(_, whole)| whole).or_else(|| {
        let only = |fits: &dyn Fn(&Candidate) -> bool| {
            let mut found = all.iter().filter(|c| fits(c));
            found.next().filter(|_| found.next().is_none()).map(|c| &c.whole)
        };
        only(&|c| words(c.name) == words(c.word))
            .or_else(|| only(&|c| words(last(c.name)) == words(last(c.word))))
            .or_else(|| only(&|c| begins(c.name, c.word) || begins(c.word, c.name)))
    })?;
    match kind {
        Kind::Processor | Kind::Selector => Some(format!("{}.{found}", kind.word())),
        _ => Some(found.clone()),
    }
}

/// The line that was meant where a blank ended a key: the rest of the key and the separator are then in the value.
pub fn escaped(key: &str, value: &str) -> Option<String> {
    let at = value.find(" =").or_else(|| value.find('=')).or_else(|| value.find(": "))?;
    let (rest, names) = value.split_at(at);
    let names = names.trim_start_matches([' ', '=', ':']);
    let words: Vec<&str> = rest.split_whitespace().collect();
    (!words.is_empty()).then(|| format!("{key}\\ {} = {names}", words.join("\\ ")))
}

/// A key that might be meant.
struct Candidate<'a> {
    /// What of the user's key is to be compared with the name.
    word: &'a str,
    name: &'a str,
    whole: String,
}

impl<'a> Candidate<'a> {
    fn plain(name: &'a str, word: &'a str) -> Candidate<'a> {
        Candidate { word, name, whole: name.to_owned() }
    }

    /// Of a key that is a prefix: the user's word up to its dot, with what stands behind it.
    fn of(key: &Key, kind: Kind, word: &'a str) -> Candidate<'a> {
        if !matches!(key.ty, Type::Prefix | Type::ChannelsBelow) {
            return Candidate::plain(key.name, word);
        }
        let (head, rest) = word.split_once('.').unwrap_or((word, ""));
        let rest = if rest.is_empty() { kind.below() } else { rest };
        Candidate { word: head, name: key.name.trim_end_matches('.'), whole: format!("{}{rest}", key.name) }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn begins(long: &str, short: &str) -> bool {
    short.len() >= SHORTEST && long.to_lowercase().starts_with(&short.to_lowercase())
}

/// The words of a key in some order that does not depend on theirs: `a-b`, `b.a` and `bA` have the same.
fn words(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut is_lower = false;
    for c in name.chars() {
        let ends = !c.is_alphanumeric();
        if ends || (is_lower && c.is_uppercase()) {
            all.push(String::new());
        }
        is_lower = c.is_lowercase();
        all.last_mut().expect("has one").extend(c.to_lowercase().filter(|_| !ends));
    }
    all.retain(|w| !w.is_empty());
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use crate::config::testing::Known;
    use crate::config::{Catalog, Kind};
    use crate::registry::catalog;

    #[test]
    fn a_blank_that_ended_a_key() {
        for (value, meant) in [
            ("b c = c2", Some(r"m.a\ b\ c = c2")),
            ("b=c2 c3", Some(r"m.a\ b = c2 c3")),
            ("b: c2", Some(r"m.a\ b = c2")),
            ("c2 c3", None),
            ("c:2", None),
            ("= c2", None),
            ("", None),
        ] {
            assert_eq!(super::escaped("m.a", value).as_deref(), meant, "{value}");
        }
    }

    #[test]
    fn slips_and_keys_in_another_place() {
        let suggested = |kind, name: &str, word: &str| {
            super::key(catalog().find(kind, name).unwrap(), word, &["type", "channel"])
        };
        for (kind, name, word, meant) in [
            (Kind::Sink, "avro", "connection-reset-interval", "reset-connection-interval"),
            (Kind::Sink, "avro", "host", "hostname"),
            (Kind::Sink, "avro", "batchSize", "batch-size"),
            (Kind::Sink, "file_roll", "batchSize", "sink.batchSize"),
            (Kind::Sink, "file_roll", "sink.dierctory", "sink.directory"),
            (Kind::Sink, "file_roll", "chanel", "channel"),
            (Kind::Processor, "load_balance", "maxTimeOut", "processor.selector.maxTimeOut"),
            (Kind::Processor, "load_balance", "selektor", "processor.selector"),
            (Kind::Processor, "failover", "prioriti.collector1", "processor.priority.collector1"),
            (Kind::Processor, "failover", "priority", "processor.priority.<sink>"),
            (Kind::Selector, "multiplexing", "maping.a.b", "selector.mapping.a.b"),
            (Kind::Selector, "multiplexing", "mapping", "selector.mapping.<value>"),
            (Kind::Source, "syslogtcp", "hostname", "host"),
        ] {
            assert_eq!(suggested(kind, name, word).as_deref(), Some(meant), "{name} {word}");
        }
        for (kind, name, word) in [
            (Kind::Sink, "avro", "zookeeper"),
            (Kind::Sink, "avro", "x"),
            (Kind::Sink, "avro", ""),
            (Kind::Sink, "avro", "max"),
            (Kind::Processor, "failover", "gizmo.k1"),
        ] {
            assert_eq!(suggested(kind, name, word), None, "{name} {word}");
        }
        let netcat = Known.find(Kind::Source, "netcat").unwrap();
        assert_eq!(super::key(netcat, "max-line-lenght", &[]).as_deref(), Some("max-line-length"));
    }
}
