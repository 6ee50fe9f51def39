//! What is written about the program is so: README, CHANGELOG, service files and samples against the binary itself.

use crate::util::{findings, flumed, Conf, Folder};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Standard output of a command that has to succeed.
fn said(args: &[&str]) -> String {
    let (code, out, err) = flumed(&root(""), args);
    assert_eq!(code, Some(0), "{args:?}: {out}{err}");
    out
}

/// All files below a folder.
fn files(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|p| if p.is_dir() { files(p) } else { vec![p] }).collect()
}

/// The blocks of README in a language, each with its lines.
fn blocks(language: &str) -> Vec<Vec<String>> {
    let (mut all, mut open): (Vec<Vec<String>>, bool) = (Vec::new(), false);
    for line in read(root("README.md")).lines().map(str::trim) {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(of) if of == language => {
                open = true;
                all.push(Vec::new());
            }
            _ if open => all.last_mut().unwrap().push(line.to_owned()),
            _ => {}
        }
    }
    assert!(!all.is_empty() && !open, "README has {language} blocks, and they end");
    all
}

#[test]
fn the_table_of_components_is_the_list_of_components() {
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for title in said(&["components"]).lines().filter_map(|l| l.split(' ').next()) {
        if let Some((kind, name)) = title.split_once('.') {
            listed.entry(kind.to_owned()).or_default().insert(name.to_owned());
        }
    }
    let readme = read(root("README.md"));
    let (_, table) = readme.split_once("## Components of this version").unwrap();
    let mut written = BTreeMap::new();
    for row in table.lines().take_while(|l| !l.starts_with("## ")).filter_map(|l| l.strip_prefix("| ")) {
        let (label, types) = row.split_once(" | ").unwrap();
        let kind = match label {
            "kind" => continue,
            "path managers of file_roll" => "pathManager",
            "serializers of regex_extractor" => "extractorSerializer",
            "config filters" => "configFilter",
            plural => plural.strip_suffix('s').unwrap(),
        };
        let names: BTreeSet<String> = types.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(written.insert(kind.to_owned(), names), None, "two rows of {kind}");
    }
    assert_eq!(written, listed);
}

#[test]
fn every_key_of_the_agent_is_in_its_example_with_its_default() {
    let example = read(root("etc/examples/agent.conf"));
    let table = said(&["components", "agent"]);
    let rows = table.lines().skip_while(|l| !l.starts_with("key ")).skip(1);
    let mut seen = 0;
    for row in rows {
        let columns: Vec<&str> = row.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        let (key, default) = (columns[0], columns[2]);
        let shown = |l: &str| {
            let value = l.trim_start_matches('#').strip_prefix(&format!("a1.flumed.{key} = "));
            value.is_some_and(|v| v == default || default == "-")
        };
        assert!(example.lines().any(shown), "{key}, which is {default} unless set");
        seen += 1;
    }
    assert!(seen > 5, "{table}");
}

/// Samples in README may be parts of a configuration: they are read on top of one with `r1`, `c1` and `k1`.
#[test]
fn every_sample_is_sound() {
    let folder = Folder::new();
    let whole = Conf::new().source("r1", "netcat", "c1", &[]).channel("c1", &[]).files("k1", "c1", "out");
    let below = folder.path("whole.conf").display().to_string();
    std::fs::write(&below, whole.text()).unwrap();
    let mut samples: Vec<(PathBuf, Vec<&str>)> = Vec::new();
    // Those of the example of one's own components are for its program: `extension` checks them.
    let all = files(root("etc")).into_iter().filter(|f| !f.starts_with(root("etc/extension")));
    for f in all.filter(|f| f.extension().is_some_and(|e| e == "conf")) {
        samples.push((f, vec![]));
    }
    assert!(samples.len() > 10);
    for (i, block) in blocks("properties").iter().enumerate() {
        let path = folder.path(&format!("README-{i}.conf"));
        std::fs::write(&path, block.join("\n")).unwrap();
        samples.push((path, vec!["-f", &below]));
    }
    for (path, before) in samples {
        let file = path.to_str().unwrap();
        let out = said(&[&["check", "-n", "a1"], &before[..], &["-f", file]].concat());
        assert_eq!(findings(&out), ["0 errors, 0 warnings"], "{file}");
    }
}

/// The words that follow the program's name in README: in blocks of commands, and in the text.
fn command_lines() -> Vec<Vec<String>> {
    let readme = read(root("README.md"));
    let in_text = readme.split('`').skip(1).step_by(2).filter(|c| !c.contains('\n')).map(str::to_owned);
    let in_blocks = blocks("sh").concat();
    let steps = in_blocks.iter().flat_map(|l| l.split(" && ")).map(str::to_owned);
    let of = |line: String| {
        let programs = ["flumed ", "target/release/flumed ", "cargo run --release -- "];
        let words = programs.iter().find_map(|p| line.strip_prefix(p))?;
        Some(words.split_whitespace().map(str::to_owned).collect())
    };
    in_text.chain(steps).filter_map(of).collect()
}

/// Asserts that a command is known to `flumed help` and its options to that, or to the help of its own that it has.
fn assert_known(words: &[&str]) {
    let help = said(&["help"]);
    let options = match words[0] {
        "tool" => said(&["tool", "help"]),
        "avro-client" => said(&["avro-client", "--help"]),
        _ => help.clone(),
    };
    let known = |w: &str| options.split_whitespace().any(|h| h.trim_end_matches(',') == w);
    let command = |w: &str| help.lines().any(|l| l.strip_prefix("  ").is_some_and(|l| l.starts_with(w)));
    assert!(command(&format!("{} ", words[0])), "no such command: {words:?}");
    for option in words.iter().filter(|w| w.starts_with('-')) {
        let key = option.strip_prefix("-Dflumed.").map(|d| d.split('=').next().unwrap());
        match key {
            Some(key) => assert!(said(&["components", "agent"]).contains(&format!("\n{key} ")), "{option}"),
            None => assert!(known(option), "no such option: {option} in {words:?}"),
        }
    }
}

#[test]
fn commands_in_readme_exist() {
    let lines = command_lines();
    for words in &lines {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_known(&words);
        if words[0] == "components" {
            said(&words);
        }
        for file in words.iter().filter(|w| w.starts_with("etc/")) {
            assert!(root(file).is_file(), "{file}");
        }
    }
    for command in ["agent", "check", "components", "tool", "avro-client"] {
        assert!(lines.iter().any(|l| l[0] == command), "README shows {command}: {lines:?}");
    }
}

#[test]
fn service_files_use_options_that_exist() {
    for file in files(root("etc/init")) {
        let mut seen = 0;
        for line in read(&file).lines() {
            let words: Vec<&str> = line.split([' ', '"']).filter(|w| !w.is_empty()).collect();
            let begin = words.windows(2).position(|w| ["agent", "check"].contains(&w[0]) && w[1] == "-n");
            if let Some(begin) = begin {
                assert_known(&words[begin..]);
                seen += 1;
            }
        }
        assert!(seen > 0, "{}", file.display());
    }
}

#[test]
fn the_changelog_has_a_place_for_what_comes() {
    let text = read(root("CHANGELOG.md"));
    let first = text.lines().find(|l| l.starts_with("## "));
    assert_eq!(first, Some("## Unreleased"));
    let (_, section) = text.split_once("## Unreleased").unwrap();
    assert!(section.trim_start().starts_with("### "), "it says of what kind its entries are");
}
