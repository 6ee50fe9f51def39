use super::*;
use crate::client::testing::{dead_port, Scripted};
use crate::codec::rpc::Status;
use crate::lifecycle::CONFIGURATION;
use std::time::{Duration, SystemTime};

/// A directory that goes when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("flumed-avro-client-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    /// Writes a file that is so many seconds old.
    fn write(&self, name: &str, text: &str, age: u64) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn names(&self) -> Vec<String> {
        let all = std::fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn run(words: &[&str]) -> u8 {
    main(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
}

fn run_to(server: &Scripted, words: &[&str]) -> u8 {
    run(&[&["-H", "127.0.0.1", "-p", &server.port.to_string()], words].concat())
}

fn bodies(server: &Scripted) -> Vec<String> {
    let calls = server.calls();
    calls.iter().flatten().map(|e| String::from_utf8(e.body.clone()).unwrap()).collect()
}

fn sizes(server: &Scripted) -> Vec<usize> {
    server.calls().iter().map(Vec::len).collect()
}

#[test]
fn words_that_are_wrong() {
    let wrong: &[&[&str]] = &[
        &[],
        &["-H", "h"],
        &["-p", "1"],
        &["-H", "h", "-p", "x"],
        &["-H", "h", "-p", "0"],
        &["-H", "h", "-p", "1", "-F", "x", "--dirname", "y"],
        &["-H", "h", "-p", "1", "stray"],
        &["--gizmo"],
        &["--h", "x"],
        &["-H"],
        &["-P", "/nowhere/rpc.properties"],
        &["-H", "h", "-p", "1", "-R", "/nowhere/headers"],
        &["-H", "h", "-p", "1", "-F", "/nowhere/lines"],
        &["-H", "h", "-p", "1", "-F", "/"],
        &["-H", "h", "-p", "1", "--dirname", "/nowhere"],
    ];
    for words in wrong {
        assert_eq!(run(words), CONFIGURATION, "{words:?}");
    }
    assert_eq!((run(&["-h"]), run(&["--help"]), run(&["-help"])), (0, 0, 0));
}

#[test]
fn the_lines_of_a_file_with_headers() {
    let (server, dir) = (Scripted::good(), Dir::new("file"));
    let file = dir.write("lines", "one\r\n\ngröße ☃\rlast", 0);
    let headers = dir.write("headers", "k = v\nother: wért\nk = w\n", 0);
    let port = server.port.to_string();
    for words in [
        ["-H", "localhost", "-p", &port, "-F", &file, "-R", &headers],
        ["-host", "localhost", "-port", &port, "-filename", &file, "-headerFile", &headers],
    ] {
        assert_eq!(run(&[&words[..], &["--conf", "/etc", "-Dx=y", "-Xmx20m"]].concat()), 0);
    }
    assert_eq!(bodies(&server)[..4], ["one", "", "größe ☃", "last"]);
    assert_eq!(sizes(&server), [4, 4]);
    let event = &server.calls()[1][3];
    assert_eq!((event.header("k"), event.header("other"), event.headers.len()), (Some("w"), Some("wért"), 2));
}

#[test]
fn batches_of_a_hundred_or_as_the_properties_say() {
    let (server, dir) = (Scripted::good(), Dir::new("batch"));
    let text: String = (0..250).map(|i| format!("{i}\n")).collect();
    let file = dir.write("lines", &text, 0);
    assert_eq!(run_to(&server, &["-F", &file]), 0);
    assert_eq!(sizes(&server), [100, 100, 50]);
    assert_eq!(bodies(&server).len(), 250);
    let properties = format!(
        "hosts = a b\nhosts.a = 127.0.0.1:{}\nhosts.b = 127.0.0.1:{}\nbatch-size = 200\n\
                              client.type = default_failover\n",
        dead_port(),
        server.port
    );
    let rpc = dir.write("rpc", &properties, 0);
    assert_eq!(run(&["--rpcProps", &rpc, "--filename", &file, "-H", "ignored"]), 0);
    assert_eq!(sizes(&server)[3..], [200, 50]);
    let rpc = dir.write("rpc", "hosts = a\n", 0);
    assert_eq!(run(&["--rpcProps", &rpc, "--filename", &file]), CONFIGURATION);
}

#[test]
fn what_is_not_stored_is_a_failure() {
    let dir = Dir::new("failure");
    let file = dir.write("lines", &"x\n".repeat(150), 0);
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Ok);
        peer.call();
    });
    assert_eq!(run_to(&server, &["-F", &file]), FAILURE);
    assert_eq!(sizes(&server), [100, 50]);
    assert_eq!(run(&["-H", "127.0.0.1", "-p", &dead_port().to_string(), "-F", &file]), FAILURE);
}

#[test]
fn files_of_a_directory_oldest_first_each_renamed_when_it_is_stored() {
    let (server, dir) = (Scripted::good(), Dir::new("dir"));
    for (name, age) in [("b", 10), ("a", 10), ("old", 20), ("new", 0), (".hidden", 5), ("done.COMPLETED", 5)]
    {
        dir.write(name, &format!("of {name}\n"), age);
    }
    dir.write("empty", "", 30);
    std::fs::create_dir(dir.0.join("folder")).unwrap();
    let words = ["--dirname", dir.0.to_str().unwrap()];
    assert_eq!(run_to(&server, &words), 0);
    // Of one time, or nearly: those go by their names, or by the time.
    let sent = bodies(&server);
    assert_eq!((sent.len(), sent[0].as_str(), sent[3].as_str()), (4, "of old", "of new"));
    let all = [
        ".hidden",
        "a.COMPLETED",
        "b.COMPLETED",
        "done.COMPLETED",
        "empty.COMPLETED",
        "folder",
        "new.COMPLETED",
        "old.COMPLETED",
    ];
    assert_eq!(dir.names(), all);
    assert_eq!((run_to(&server, &words), bodies(&server).len()), (0, 4));
}

#[test]
fn a_file_that_is_not_stored_keeps_its_name() {
    let server = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Ok);
        peer.serve(Status::Failed);
    });
    let dir = Dir::new("kept");
    dir.write("1", "a\n", 20);
    dir.write("2", "b\n", 10);
    dir.write("3", "c\n", 0);
    assert_eq!(run_to(&server, &["--dirname", dir.0.to_str().unwrap()]), FAILURE);
    assert_eq!(dir.names(), ["1.COMPLETED", "2", "3"]);
    let good = Scripted::good();
    dir.write("3.COMPLETED", "", 0);
    assert_eq!(run_to(&good, &["--dirname", dir.0.to_str().unwrap()]), FAILURE);
    assert_eq!(
        (bodies(&good), dir.names().concat()),
        (vec!["b".to_owned()], "1.COMPLETED2.COMPLETED33.COMPLETED".into())
    );
}
