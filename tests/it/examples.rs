//! The configurations in etc: they run, and they show every key of their component. That they are sound is in `docs`.

use crate::util::{flumed, Agent, Folder};
use std::path::{Path, PathBuf};

fn etc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc")
}

/// The examples and the quick start.
fn all() -> Vec<PathBuf> {
    let dir = std::fs::read_dir(etc().join("examples")).unwrap();
    let mut files: Vec<PathBuf> = dir.map(|e| e.unwrap().path()).collect();
    files.push(etc().join("quickstart.conf"));
    files
}

#[test]
fn every_example_runs() {
    for file in all() {
        // Ports of our own, because others may have those of the file. A sink's server may be there or not.
        let text: String = std::fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|l| match l.split_once(".port = ") {
                Some((key, _)) if !l.starts_with('#') => {
                    let port = if key.contains(".sinks.") { 1 } else { 0 };
                    format!("{key}.port = {port}\n")
                }
                _ => format!("{l}\n"),
            })
            .collect();
        let folder = Folder::new();
        std::fs::create_dir(folder.path("flumed-quickstart")).unwrap();
        let mut agent = Agent::spawn(folder, &text, &[], None);
        agent.wait_log("agent a1 started");
        agent.wait_log("sink ");
        let log = agent.stop();
        // Whether the host's name has an address is up to the machine, and nobody is where sinks connect to.
        let fits =
            |l: &str| l.contains("this machine's address") || l.contains("cannot start: cannot connect to ");
        let bad = |l: &&str| (l.contains("ERROR") || l.contains(" WARN")) && !fits(l);
        assert_eq!(log.lines().find(bad), None, "{}: {log}", file.display());
    }
}

#[test]
fn every_type_has_an_example_with_every_key() {
    let folder = Folder::new();
    let components = |args: &[&str]| flumed(&folder.path(""), &[&["components"], args].concat()).1;
    let list = components(&[]);
    let types = list.lines().filter_map(|l| l.split(' ').next());
    let mut seen = 0;
    for (kind, name) in types.filter_map(|t| t.split_once('.')) {
        let small = name.to_lowercase();
        let (file, before): (&str, &[&str]) = match kind {
            "source" => (name, &["sources", "*"]),
            "channel" => (name, &["channels", "*"]),
            "sink" => (name, &["sinks", "*"]),
            // It has no keys, and is told of in the other's.
            "processor" if name == "default" => continue,
            "processor" => (name, &["sinkgroups", "*", "processor"]),
            "selector" => ("selectors", &["sources", "*", "selector"]),
            "interceptor" => (name, &["sources", "*", "interceptors", "*"]),
            "serializer" => (&small, &["sinks", "*", "sink", "serializer"]),
            "extractorSerializer" => {
                ("regex_extractor", &["sources", "*", "interceptors", "*", "serializers", "*"])
            }
            "configFilter" => ("configfilters", &["configfilters", "*"]),
            _ => continue,
        };
        seen += 1;
        let path = etc().join(format!("examples/{file}.conf"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let shown: Vec<&str> = text
            .lines()
            .map(|l| l.trim_start_matches(['#', ' ']))
            .filter_map(|l| below(l.split_once(" = ")?.0, before))
            .collect();
        let table = components(&[&format!("{kind}.{name}")]);
        let keys = table.lines().skip_while(|l| !l.starts_with("key ")).skip(1);
        let mut count = 0;
        for key in keys.filter_map(|l| l.split_whitespace().next()) {
            count += 1;
            let is_it = |s: &&str| key.split_once('<').map_or(**s == *key, |(k, _)| s.starts_with(k));
            assert!(shown.iter().any(is_it), "{key} of {kind}.{name} is not in {}", path.display());
        }
        assert!(count > 0 || name == "env", "{table}");
    }
    assert!(seen >= 21, "{list}");
}

/// OpenBSD's `-N` is unknown to the netcats of busybox, Nmap and Debian's traditional one. With `-w 1` all of them end.
#[test]
fn every_netcat_takes_the_commands_of_the_examples() {
    let mut seen = 0;
    for file in all() {
        let text = std::fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|l| l.contains("nc -")) {
            seen += 1;
            assert!(line.contains("nc -w 1 ") || line.contains("nc -u -w 1 "), "{}: {line}", file.display());
        }
    }
    assert!(seen > 5);
}

/// What a property of a1 is called below these words, of which `*` is any one.
fn below<'a>(name: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut rest = name.strip_prefix("a1.")?;
    for word in words {
        let (first, behind) = rest.split_once('.')?;
        if *word != "*" && first != *word {
            return None;
        }
        rest = behind;
    }
    Some(rest)
}
