//! The example of components of one's own is built, and runs from its own directory as its README says.

use crate::util::{findings, wait, Client, Folder, PATIENCE};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{channel, Receiver};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/extension")
}

fn readme() -> String {
    std::fs::read_to_string(directory().join("README.md")).unwrap()
}

/// The arguments that README gives the program for this command.
fn arguments(command: &str) -> Vec<String> {
    let readme = readme();
    let line = readme.lines().find_map(|l| l.strip_prefix(&format!("cargo run -- {command} ")));
    let rest = line.unwrap_or_else(|| panic!("README runs {command}"));
    [command].into_iter().chain(rest.split(' ')).map(str::to_owned).collect()
}

/// The program, built beside flumed in the profile of this test: what they share is built already.
fn program() -> PathBuf {
    let flumed = Path::new(env!("CARGO_BIN_EXE_flumed"));
    let folder = flumed.parent().unwrap();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let mut build = Command::new(env!("CARGO"));
    // What cargo tells this test of its own package: build scripts take it for theirs, and all is built anew.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|t| name.starts_with(t))) {
        build.env_remove(name);
    }
    build.args(["build", "--quiet", "--offline", "--profile", profile, "--target-dir"]);
    let Output { status, stderr, .. } =
        build.arg(folder.parent().unwrap()).current_dir(directory()).output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    folder.join("acme-flumed")
}

fn run(args: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    let Output { status, stdout, stderr } = command.args(args).current_dir(directory()).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// Lines of a stream, as they come.
fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).try_for_each(|l| send.send(l))
    });
    lines
}

/// The first line of which this is true.
fn first(lines: &Receiver<String>, is_it: impl Fn(&str) -> bool) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).expect("the line comes");
        if is_it(&line) {
            return line;
        }
    }
}

/// Killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn its_commands_know_its_components() {
    let (code, said) = run(&arguments("check"));
    assert_eq!((code, findings(&said)), (Some(0), vec!["0 errors, 0 warnings"]), "{said}");
    let (code, said) = run(&arguments("components"));
    assert!(code == Some(0) && said.contains("class: com.acme.flume.NetstringSource"), "{said}");
    let (_, all) = run(&["components".to_owned()]);
    for name in [
        "source.loadavg",
        "channel.queue",
        "sink.stdout",
        "interceptor.mask",
        "serializer.tsv",
        "handler.lines",
        "source.netcat",
    ] {
        assert!(all.lines().any(|l| l.starts_with(&format!("{name} "))), "{name}: {all}");
    }
    let (code, said) = run(&["components".to_owned(), "source.netsting".to_owned()]);
    assert!(code == Some(2) && said.contains("did you mean netstring?"), "{said}");
}

#[test]
fn its_agent_runs_as_its_readme_says() {
    let (mut agent, log, out) = start(&[]);
    let listening = first(&log, |l| l.contains("source net started, listening on "));
    let readme = readme();
    let sent = readme.split("printf '").nth(1).and_then(|l| l.split('\'').next()).unwrap();
    let mut client = Client::new(listening.rsplit(' ').next().unwrap().parse().unwrap());
    client.send(sent);
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer(), "2:OK,2:OK,");
    assert_eq!(first(&out, |l| l.starts_with("netstring")), "netstring\t\thello");
    assert_eq!(first(&out, |l| l.starts_with("netstring")), "netstring\t\tuser=ann token=***");
    let load = first(&out, |l| l.starts_with('\t'));
    assert!(load.split('\t').nth(1).unwrap().parse::<u64>().unwrap() > 0, "{load}");

    end(&mut agent);
}

#[test]
fn its_handler_gives_every_status() {
    let folder = Folder::new();
    let hold = folder.path("there").join("hold");
    std::fs::create_dir(folder.path("there")).unwrap();
    let (mut agent, log, out) = start(&[&format!("-Dweb.hold={}", hold.display())]);
    let listening = first(&log, |l| l.contains("source web started, listening on "));
    let address: std::net::SocketAddr = listening.rsplit(' ').next().unwrap().parse().unwrap();
    let post = |target: &str, kind: &str, body: &str| {
        let mut client = Client::new(address);
        let length = body.len();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ));
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut client.socket, &mut answer).unwrap();
        answer
    };
    let plain = "text/plain";
    let stored = post("/?app=shop", plain, "one\ntwo");
    assert!(stored.starts_with("HTTP/1.1 200 "), "{stored}");
    assert_eq!(first(&out, |l| l.starts_with("web")), "web\t\tone");
    assert_eq!(first(&out, |l| l.starts_with("web")), "web\t\ttwo");
    for (target, kind, body, status, why) in [
        ("/", plain, "one", 400, "parameter app is missing"),
        ("/?app=x", plain, "1\n2\n3\n4", 413, "more than 3 lines"),
        ("/?app=x", "image/png", "x", 415, "text/plain is what is read here"),
    ] {
        let answer = post(target, kind, body);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(why), "{answer}");
    }
    std::fs::write(&hold, "").unwrap();
    let answer = post("/?app=x", plain, "x");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 5\r\n"), "{answer}");
    std::fs::remove_file(&hold).unwrap();
    std::fs::remove_dir(folder.path("there")).unwrap();
    std::fs::write(folder.path("there"), "a file where a directory was").unwrap();
    let answer = post("/?app=x", plain, "x");
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    std::fs::remove_file(folder.path("there")).unwrap();
    assert!(post("/?app=shop", plain, "three").starts_with("HTTP/1.1 200 "));
    assert_eq!(first(&out, |l| l.starts_with("web")), "web\t\tthree");
    end(&mut agent);
}

/// The agent of README, on ports that the kernel chooses; its log and its output.
fn start(more: &[&str]) -> (Running, Receiver<String>, Receiver<String>) {
    let mut command = Command::new(program());
    command.args(arguments("agent")).args([
        "-Dnetstring.port=0",
        "-Dweb.port=0",
        "-Dflume.monitoring.port=0",
    ]);
    command.args(more).current_dir(directory()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut agent = Running(command.spawn().unwrap());
    let log = lines(agent.0.stderr.take().unwrap());
    let out = lines(agent.0.stdout.take().unwrap());
    (agent, log, out)
}

fn end(agent: &mut Running) {
    let pid = agent.0.id();
    let kill = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status();
    assert!(kill.unwrap().success());
    let mut code = None;
    wait(true, || {
        code = agent.0.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!(code.unwrap().code(), Some(0));
}
