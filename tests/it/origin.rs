//! Where configuration comes from: several files, the environment, config filters, the web; and that secrets stay
//! out of everything that is printed.

use crate::util::{findings, flumed, Agent, Folder};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

const BASE: &str = "\
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = netcat
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 0
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
";

fn write(folder: &Folder, name: &str, text: &str) {
    std::fs::write(folder.path(name), text).unwrap();
}

/// The good configuration with another port, and more lines.
fn with_port(port: &str, more: &str) -> String {
    BASE.replace("port = 0", &format!("port = {port}")) + more
}

/// `flumed check` of a1.conf with an environment: exit code and all that is printed.
fn check(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumed"));
    command
        .args(["check", "-n", "a1", "-f", "a1.conf"])
        .args(args)
        .current_dir(folder)
        .env_remove("RUST_LOG");
    let Output { status, stdout, stderr } = command.envs(env.iter().copied()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn later_files_hold_over_earlier_ones() {
    let folder = Folder::new();
    write(&folder, "a1.conf", &with_port("${PORT}", ""));
    write(&folder, "b.conf", "a1.sources.r1.port = x\na1.channels.c1.capacity = 200\n");
    write(&folder, "c.conf", "PORT = 0\na1.sources.r1.port = ${PORT}\n");
    write(&folder, "d.yaml", "no: properties\n");
    let uri = format!("file://{}", folder.path("c.conf").display());
    let (code, out) = check(&folder.path(""), &[], &["-f", "b.conf", "-u", &uri, "-f", "d.yaml"]);
    let c = folder.path("c.conf");
    let note =
        format!("file://{}:2: a1.sources.r1.port: note: holds over a1.conf:6 and b.conf:1", c.display());
    assert_eq!(code, Some(0), "{out}");
    assert!(findings(&out).contains(&note.as_str()), "{out}");
    assert!(out.contains("d.yaml: warning: skipped, as in Flume"), "{out}");
    assert!(out.contains("\ndiffers from Flume:\n  channel memory: ") && !out.contains("file_roll"), "{out}");
    assert_eq!(out.lines().last(), Some("0 errors, 1 warning"));
    // In the other order the mistake holds; a file that is missing leaves nothing to judge.
    let (code, out) = check(&folder.path(""), &[], &["-u", &uri, "-f", "b.conf"]);
    assert!(
        code == Some(2) && out.contains("b.conf:1: a1.sources.r1.port: 'x' is not a port number"),
        "{out}"
    );
    let (code, out) = check(&folder.path(""), &[], &["-f", "none.conf", "-f", "b.conf"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(2), "none.conf: cannot be read: No such file or directory (os error 2)\n1 error, 0 warnings\n")
    );
}

#[test]
fn cycles_and_missing_names_are_told() {
    let folder = Folder::new();
    write(&folder, "a1.conf", &with_port("${x.port}", "x.port = ${y.port}\ny.port = ${x.port}\n"));
    let (code, out) = check(&folder.path(""), &[], &[]);
    assert_eq!(code, Some(2));
    let cycle = "a1.conf:11: x.port: refers to itself: x.port (a1.conf:11) -> y.port (a1.conf:12) -> x.port (a1.conf:11)";
    assert_eq!(findings(&out), [cycle, "1 error, 0 warnings"]);
    write(&folder, "a1.conf", &with_port("${env:FLUMED_IT_PROT}", ""));
    let (code, out) = check(&folder.path(""), &[("FLUMED_IT_PORT", "0")], &[]);
    assert_eq!(code, Some(2));
    assert!(out.contains("did you mean ${env:FLUMED_IT_PORT}?"), "{out}");
    write(&folder, "a1.conf", &with_port("${env:FLUMED_IT_PORT:-x}", ""));
    assert_eq!(check(&folder.path(""), &[("FLUMED_IT_PORT", "0")], &[]).0, Some(0));
    write(&folder, "a1.conf", &with_port("${script:javascript:0}", ""));
    let (code, out) = check(&folder.path(""), &[], &[]);
    assert!(code == Some(2) && out.contains("${script:...} is not supported"), "{out}");
}

/// Wherever a secret comes from and wherever it does not belong, nothing that is printed has it.
#[test]
fn secrets_are_not_printed() {
    let folder = Folder::new();
    write(&folder, "secret", "hush-file\n");
    let tail = format!(
        "a1.configfilters = f e\na1.configfilters.f.type = file\na1.configfilters.f.directory = {}\n\
         a1.configfilters.e.type = env\n",
        folder.path("").display()
    );
    let env = [("S", "hush-env")];
    let forms = ["${env:S}", "${sys:s}", "${f['secret']}", "${e['S']}", "${A}", "1${none:-${env:S}}"];
    for form in forms {
        let places =
            ["sources.r1.port", "sources.r1.type", "sources.r1.channels", "sources.r1.ack-every-event"];
        let others =
            ["channels.c1.capacity", "sinks.k1.type", "sinks.k1.channel", "sinks.k1.batchSize", "gizmo"];
        let lists = ["sources", "flumed.maxConnections", "sources.r1.password"];
        for place in places.iter().chain(&others).chain(&lists) {
            write(&folder, "a1.conf", &format!("{BASE}{tail}A = ${{env:S}}\na1.{place} = {form}\n"));
            let (_, out) = check(&folder.path(""), &env, &["-Ds=hush-sys"]);
            assert!(!out.contains("hush"), "{place} = {form}: {out}");
        }
    }
    write(
        &folder,
        "a1.conf",
        &format!("{BASE}a1.channels.c1.passwordd = hush\na1.channels.c1.capacity = ${{env:S}}\n"),
    );
    let (code, out) = check(&folder.path(""), &env, &[]);
    assert!(
        code == Some(0) && out.contains("a1.conf:12: a1.channels.c1.capacity: warning: (hidden)"),
        "{out}"
    );
    assert!(!out.contains("hush"), "{out}");
}

#[test]
fn an_agent_runs_on_values_of_filters_and_logs_none() {
    let folder = Folder::new();
    write(
        &folder,
        "get.sh",
        "case $1 in host) echo 127.0.0.1;; kind) echo netcat;; *) echo hush; exit 9;; esac\n",
    );
    let text = BASE.replace("r1.type = netcat", "r1.type = ${x['kind']}").replace("127.0.0.1", "${x[host]}")
        + "a1.configfilters = x\na1.configfilters.x.type = external\na1.configfilters.x.command = sh get.sh\n";
    let mut agent = Agent::spawn(folder, &text, &["-Dunused=hush".to_owned()], None);
    assert_eq!(agent.connect("r1").ask("a line"), "OK\n");
    let log = agent.stop();
    assert!(!log.contains("hush"), "{log}");
}

#[test]
fn a_filter_that_fails_stops_the_start() {
    let folder = Folder::new();
    let conf = |script: &str| {
        write(&folder, "get.sh", script);
        let tail = "a1.configfilters = x\na1.configfilters.x.type = external\na1.configfilters.x.command = sh get.sh\n";
        write(&folder, "a1.conf", &with_port("${x['port']}", tail));
        check(&folder.path(""), &[], &[])
    };
    let (code, out) = conf("echo hush; exit 9\n");
    let line = "a1.conf:6: a1.sources.r1.port: ${x['port']} has no value: sh failed: exit status: 9";
    assert_eq!((code, findings(&out)), (Some(2), vec![line, "1 error, 0 warnings"]));
    let (code, out) = conf("yes hush\n");
    assert!(code == Some(2) && out.contains("it printed more than 64 KiB") && !out.contains("hush"), "{out}");
    let (code, out) = conf("echo 0; echo hush\n");
    assert!(code == Some(0) && out.contains("several lines") && !out.contains("hush"), "{out}");
    // Only when it runs: another agent's filter is left alone.
    write(&folder, "get.sh", "touch ran\n");
    let text = std::fs::read_to_string(folder.path("a1.conf")).unwrap();
    write(&folder, "a1.conf", &(BASE.to_owned() + &text.replace("a1.", "a2.")));
    assert_eq!(check(&folder.path(""), &[], &[]).0, Some(0));
    assert!(!folder.path("ran").exists());
    write(&folder, "a1.conf", &format!("{BASE}a1.configfilters = h\na1.configfilters.h.type = hadoop\n"));
    let (code, out) = check(&folder.path(""), &[], &[]);
    assert!(code == Some(2) && out.contains("configFilter type hadoop is not supported"), "{out}");
}

#[test]
fn a_web_server_gives_the_configuration() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    write(&folder, "pw", "hush\n");
    let served = std::thread::spawn(move || {
        let mut socket = listener.accept().unwrap().0;
        let lines = BufReader::new(socket.try_clone().unwrap()).lines();
        let head: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
        write!(
            socket,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{BASE}",
            BASE.len()
        )
        .unwrap();
        head.join("\n").to_lowercase()
    });
    let uri = format!("http://{address}/flume.conf?token=hush");
    let args = ["check", "-n", "a1", "-u", &uri, "--conf-user", "me", "--conf-password-file", "pw"];
    let (code, out, err) = flumed(&folder.path(""), &args);
    assert_eq!((code, findings(&out), err.as_str()), (Some(0), vec!["0 errors, 0 warnings"], ""));
    let head = served.join().unwrap();
    assert!(head.contains("authorization: basic bwu6ahvzaa=="), "{head}");
    // It is gone now.
    let (code, out, err) = flumed(&folder.path(""), &args);
    let said = out + &err;
    assert!(
        code == Some(2) && said.contains(&format!("http://{address}/flume.conf: cannot be read: ")),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
    let (code, _, err) = flumed(&folder.path(""), &["agent", "-n", "a1", "-u", "https://h/x", "-z", "h"]);
    assert!(
        code == Some(2) && err.contains("TLS comes with a later one") && err.contains("--zkConnString"),
        "{err}"
    );
}
