//! Config filters asked directly, and expressions with a filter that counts.

use super::*;
use crate::config::testing::Known;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

fn context(spec: &'static ConfigFilterSpec, pairs: &[(&str, &str)]) -> Result<Context, String> {
    let place = Place::default();
    let properties: Vec<Property> = pairs.iter().map(|(k, v)| Property::new(*k, *v, place.clone())).collect();
    let mut problems = Problems::default();
    let path = "a.configfilters.f";
    Context::parse(&spec.declared, path, &place, &properties, &["type"], &Known, &mut problems)
        .map_err(|_| problems.sorted().iter().map(|p| p.to_string()).collect())
}

fn made(spec: &'static ConfigFilterSpec, pairs: &[(&str, &str)]) -> Box<dyn ConfigFilter> {
    (spec.build)(&context(spec, pairs).unwrap())
}

fn given(value: &str) -> Result<Given, String> {
    Ok(Given { value: value.to_owned(), warning: None })
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("flumed-filter-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>, mode: u32) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `sh FILE key`: a program that needs no time between its writing and its start.
fn script(folder: &Folder, text: &str) -> Box<dyn ConfigFilter> {
    let path = folder.write("script", text, 0o600);
    made(&external::SPEC, &[("command", &format!("sh {path}"))])
}

#[test]
fn the_environment_gives_variables() {
    let mut env = made(&env::SPEC, &[]);
    assert_eq!(env.get("PATH"), given(&std::env::var("PATH").unwrap()));
    assert!(env.get("FLUMED_NO_SUCH_VARIABLE").unwrap_err().contains("has no FLUMED_NO_SUCH_VARIABLE"));
}

#[test]
fn a_directory_gives_files() {
    let folder = Folder::new("file");
    folder.write("one", "hush\n", 0o600);
    folder.write("two", " hush 2\r\nmore\n", 0o600);
    folder.write("open", "hush", 0o644);
    folder.write("empty", "\nhush", 0o600);
    folder.write("long", vec![b'x'; LONGEST_VALUE + 1], 0o600);
    folder.write("bytes", b"\xFF\xFE", 0o600);
    std::fs::create_dir(folder.0.join("folder")).unwrap();
    let mut f = made(&file::SPEC, &[("directory", folder.0.to_str().unwrap())]);
    assert_eq!(f.get("one"), given("hush"));
    let two = f.get("two").unwrap();
    assert_eq!(two.value, " hush 2");
    assert!(two.warning.unwrap().contains("several lines"));
    let mode = |m| std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(m)).unwrap();
    mode(0o755);
    assert!(f.get("open").unwrap().warning.unwrap().contains("every user"));
    mode(0o700);
    assert_eq!(f.get("open"), given("hush"), "nobody else gets that far");
    for (key, why) in [
        ("empty", "empty line"),
        ("long", "64 KiB"),
        ("bytes", "UTF-8"),
        ("folder", "not a file"),
        ("none", "cannot be read"),
    ] {
        let said = f.get(key).unwrap_err();
        assert!(said.contains(why) && !said.contains("hush"), "{key}: {said}");
    }
    assert!(context(&file::SPEC, &[]).unwrap_err().contains("directory: required key is missing"));
}

#[test]
fn a_command_gives_its_first_line() {
    let folder = Folder::new("external");
    assert_eq!(made(&external::SPEC, &[("command", "echo  -n it is")]).get("db"), given("it is db"));
    let mut latin = made(&external::SPEC, &[("command", "printf \\351"), ("charset", "ISO-8859-1")]);
    assert_eq!(latin.get("x"), given("\u{e9}"));
    let two = script(&folder, "echo $1; echo more; echo hush >&2").get("k-1_A").unwrap();
    assert_eq!((two.value.as_str(), two.warning.is_some()), ("k-1_A", true));
    // A long output does not block.
    assert_eq!(
        script(&folder, "echo v; head -c 60000 /dev/zero").get("x").map(|g| g.value),
        Ok("v".to_owned())
    );
    let wrong = context(&external::SPEC, &[("command", "x"), ("charset", "gizmo")]).unwrap_err();
    assert!(wrong.contains("not a known charset"), "{wrong}");
}

#[test]
fn a_command_that_fails_hangs_or_floods_is_named_without_its_output() {
    let folder = Folder::new("failing");
    let fails = |text: &str| script(&folder, text).get("key").unwrap_err();
    assert_eq!(fails("echo hush; exit 3"), "sh failed: exit status: 3");
    assert!(fails("echo hush; kill -9 $$").starts_with("sh failed: signal: 9"));
    assert_eq!(fails("exit 0"), "the output of sh begins with an empty line, or is empty");
    assert_eq!(fails("yes hush"), "sh was killed: it printed more than 64 KiB");
    let none = made(&external::SPEC, &[("command", "/nowhere/secret")]).get("x").unwrap_err();
    assert!(none.starts_with("/nowhere/secret cannot be run: No such file"), "{none}");
}

#[test]
fn what_hangs_is_killed_with_all_it_started_and_not_run_again() {
    let folder = Folder::new("hanging");
    let mark = folder.0.join("mark");
    // The child holds the output open, the grandchild would too.
    let text = format!("sleep 600 & echo $! > {}; echo hush; wait", mark.display());
    let path = folder.write("script", text, 0o600);
    let mut hangs = external::External {
        words: ["sh", &path].map(str::to_owned).to_vec(),
        shown: "sh".to_owned(),
        charset: encoding_rs::UTF_8,
        deadline: Duration::from_secs(2),
        has_hung: false,
    };
    let why = hangs.get("x").unwrap_err();
    assert_eq!(why, "sh was killed: it did not end within 2s");
    assert!(hangs.get("y").unwrap_err().contains("not run again"));
    let grandchild = std::fs::read_to_string(&mark).unwrap();
    let proc = format!("/proc/{}/stat", grandchild.trim());
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    // Gone, or dead and not yet collected.
    while std::fs::read_to_string(&proc).is_ok_and(|s| !s.contains(") Z ")) {
        assert!(std::time::Instant::now() < deadline, "{proc} lives");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Gives the key in small letters; `no` has none. Counts.
struct Small(std::rc::Rc<std::cell::Cell<u32>>);

impl ConfigFilter for Small {
    fn get(&mut self, key: &str) -> Result<Given, String> {
        self.0.set(self.0.get() + 1);
        match key {
            "no" => Err("it is not there".to_owned()),
            _ => Ok(Given { value: key.to_lowercase(), warning: None }),
        }
    }
}

#[test]
fn expressions_in_all_quotes() {
    let calls = std::rc::Rc::default();
    let mut filters = Filters::default();
    filters.add("f1", Some(Box::new(Small(std::rc::Rc::clone(&calls)))));
    filters.add("broken", None);
    let mut problems = Problems::default();
    let mut apply = |value: &str| {
        let mut p = Property::new("k", value, Place { file: "f".into(), line: 3 });
        let is_right = filters.apply(&mut p, "a.k", &mut problems);
        (p.value, p.is_hidden, is_right)
    };
    for (value, expected) in
        [("${f1[A]}", "a"), ("x${f1['A-_9']}y${f1[\"B\"]}z", "xa-_9ybz"), ("${f1['A']}${f1['A']}", "aa")]
    {
        assert_eq!(apply(value), (expected.to_owned(), true, true), "{value}");
    }
    assert_eq!(calls.get(), 3, "each key is asked for once");
    for value in ["plain", "${f1}", "${x.y}", "f1['A']", "${f1[]} $"] {
        let (text, is_hidden, _) = apply(value);
        assert_eq!((text.as_str(), is_hidden), (value, false));
    }
    assert!(!apply("${broken['A']}").2);
    assert_eq!(problems.sorted().len(), 1, "{problems:?}");
    let mut problems = Problems::default();
    for value in ["${f1['no']}", "${f1['no']}", "${f2['A']}", "${f1['a.b']}", "${f1['A\"]}"] {
        let mut p = Property::new("k", value, Place { file: "f".into(), line: 3 });
        assert!(!filters.apply(&mut p, "a.k", &mut problems), "{value}");
    }
    let mut said: Vec<String> = problems.sorted().iter().map(|p| p.to_string()).collect();
    said.sort();
    assert_eq!(
        said,
        [
            "f:3: a.k: ${f1['A\"]}: the key of a config filter has letters, digits, - and _ only",
            "f:3: a.k: ${f1['a.b']}: the key of a config filter has letters, digits, - and _ only",
            "f:3: a.k: ${f1['no']} has no value: it is not there",
            "f:3: a.k: ${f2['A']}: no such config filter; did you mean f1?",
        ]
    );
    let mut none = Problems::default();
    let mut p = Property::new("k", "a${b[cd]}", Place::default());
    assert!(Filters::default().apply(&mut p, "a.k", &mut none), "may be a regular expression");
    assert_eq!((none.errors(), none.warnings()), (0, 1));
}
