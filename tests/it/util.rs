//! What every theme uses: a folder, a configuration, an agent that runs in it, a client for lines, an HTTP GET.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{park_timeout, JoinHandle};
use std::time::{Duration, Instant};

/// How long anything may take that has no deadline of its own. Only a test that fails waits this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("flumed-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A configuration of agent a1, in the making. Its lists are written when it is started.
#[derive(Default)]
pub struct Conf {
    names: [Vec<String>; 3],
    text: String,
    args: Vec<String>,
    limit: Option<String>,
    folders: Vec<String>,
}

const SOURCES: usize = 0;
const CHANNELS: usize = 1;
const SINKS: usize = 2;

impl Conf {
    pub fn new() -> Conf {
        Conf::default()
    }

    fn part(mut self, group: usize, name: &str, kind: &str, keys: &[&str]) -> Conf {
        self.names[group].push(name.to_owned());
        let word = ["sources", "channels", "sinks"][group];
        for line in [format!("type = {kind}").as_str()].iter().chain(keys) {
            self.text += &format!("a1.{word}.{name}.{line}\n");
        }
        self
    }

    /// A source on a port of 127.0.0.1, unless its keys say where.
    pub fn source(self, name: &str, kind: &str, channels: &str, keys: &[&str]) -> Conf {
        let host = if kind == "netcat" { "bind = 127.0.0.1" } else { "host = 127.0.0.1" };
        self.source_anywhere(name, kind, channels, &[&[host, "port = 0"], keys].concat())
    }

    pub fn source_anywhere(self, name: &str, kind: &str, channels: &str, keys: &[&str]) -> Conf {
        let channels = format!("channels = {channels}");
        self.part(SOURCES, name, kind, &[&[channels.as_str()], keys].concat())
    }

    pub fn channel(self, name: &str, keys: &[&str]) -> Conf {
        self.channel_of(name, "memory", keys)
    }

    pub fn channel_of(self, name: &str, kind: &str, keys: &[&str]) -> Conf {
        self.part(CHANNELS, name, kind, keys)
    }

    pub fn sink(self, name: &str, kind: &str, channel: &str, keys: &[&str]) -> Conf {
        let channel = format!("channel = {channel}");
        self.part(SINKS, name, kind, &[&[channel.as_str()], keys].concat())
    }

    /// A file_roll sink into a folder that is there.
    pub fn files(self, name: &str, channel: &str, folder: &str) -> Conf {
        self.folder(folder).files_later(name, channel, folder, &[])
    }

    /// Makes a folder in the agent's own.
    pub fn folder(mut self, name: &str) -> Conf {
        self.folders.push(name.to_owned());
        self
    }

    /// A file_roll sink into a folder that the test makes, or not.
    pub fn files_later(self, name: &str, channel: &str, folder: &str, keys: &[&str]) -> Conf {
        let folder = format!("sink.directory = {folder}");
        self.sink(name, "file_roll", channel, &[&[folder.as_str(), "sink.rollInterval = 0"], keys].concat())
    }

    pub fn arg(mut self, arg: &str) -> Conf {
        self.args.push(arg.to_owned());
        self
    }

    /// Gives the agent a hard limit on descriptors.
    pub fn descriptors(mut self, most: u32) -> Conf {
        self.limit = Some(format!("-n {most}"));
        self
    }

    /// Gives the agent a limit on the size of files, in the blocks of its shell.
    pub fn file_size(mut self, blocks: u32) -> Conf {
        self.limit = Some(format!("-f {blocks}"));
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let [r, c, k] = self.names.each_ref().map(|names| names.join(" "));
        format!("a1.sources = {r}\na1.channels = {c}\na1.sinks = {k}\n{}", self.text)
    }

    /// A file channel with its directories in the agent's folder.
    pub fn file_channel(self, name: &str, keys: &[&str]) -> Conf {
        let data = format!("dataDirs = {name}-data");
        let checkpoint = format!("checkpointDir = {name}-checkpoint");
        let mut all = vec![data.as_str(), &checkpoint, "minimumRequiredSpace = 1048576"];
        let key = |line: &str| line.split(' ').next().map(str::to_owned);
        all.retain(|line| keys.iter().all(|k| key(k) != key(line)));
        all.extend(keys);
        self.channel_of(name, "file", &all)
    }

    /// Lines that belong to no component.
    pub fn lines(mut self, lines: &str) -> Conf {
        self.text += lines;
        self
    }

    /// Starts the agent and waits until it says so.
    pub fn start(self) -> Agent {
        let folder = Folder::new();
        for name in &self.folders {
            std::fs::create_dir(folder.path(name)).unwrap();
        }
        let agent = Agent::spawn(folder, &self.text(), &self.args, self.limit.as_deref());
        agent.wait_log("agent a1 started");
        agent
    }
}

/// Lines of the agent's log, as they come.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    fn read(&self, from: impl Read) {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            self.lines.lock().unwrap().0.push(String::from_utf8_lossy(&line).into_owned());
            self.more.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.more.notify_all();
    }
}

/// An agent a1 that runs; killed when dropped.
pub struct Agent {
    pub folder: Folder,
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts an agent on a configuration as it stands.
    pub fn spawn(folder: Folder, text: &str, args: &[String], limit: Option<&str>) -> Agent {
        std::fs::write(folder.path("a1.conf"), text).unwrap();
        let mut command = match limit {
            None => Command::new(env!("CARGO_BIN_EXE_flumed")),
            Some(limit) => {
                let mut sh = Command::new("sh");
                let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
                sh.args(["-c", &script, env!("CARGO_BIN_EXE_flumed")]);
                sh
            }
        };
        command.args(["agent", "-n", "a1", "-f", "a1.conf"]);
        if !args.iter().any(|a| a.starts_with("-Dflume.monitoring.type")) {
            command.arg("-Dflume.monitoring.type=http");
        }
        command.arg("-Dflume.monitoring.port=0").args(args).current_dir(&folder.0).env_remove("RUST_LOG");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Log::default());
        let its = log.clone();
        let reader = Some(std::thread::spawn(move || its.read(stderr)));
        Agent { folder, child, log, reader }
    }

    /// Starts one in the place of this one, which has ended: in its folder, on this configuration.
    pub fn start_again(&mut self, conf: &Conf) {
        self.spawn_again(conf);
        self.wait_log("agent a1 started");
    }

    /// The same, and does not wait.
    pub fn spawn_again(&mut self, conf: &Conf) {
        let folder = std::mem::replace(&mut self.folder, Folder::new());
        for name in conf.folders.iter().filter(|f| !folder.path(f).exists()) {
            std::fs::create_dir(folder.path(name)).unwrap();
        }
        *self = Agent::spawn(folder, &conf.text(), &conf.args, conf.limit.as_deref());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait_exit(PATIENCE);
    }

    /// The first line of the log that holds the text; waits for it.
    pub fn wait_log(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut held = self.log.lines.lock().unwrap();
        loop {
            if let Some(line) = held.0.iter().find(|l| l.contains(text)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if held.1 || left.is_zero() {
                // Let go of first: the log is read on while this unwinds.
                drop(held);
                panic!("no log line with '{text}'");
            }
            held = self.log.more.wait_timeout(held, left).unwrap().0;
        }
    }

    pub fn log(&self) -> String {
        self.log.lines.lock().unwrap().0.join("\n")
    }

    /// Where a source listens, once it does.
    pub fn address(&self, source: &str) -> SocketAddr {
        self.listening(&format!("source {source} started"))
    }

    fn listening(&self, who: &str) -> SocketAddr {
        let line = self.wait_log(&format!("{who}, listening on "));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Where a source listens that was started more than once.
    pub fn connect_again(&self, source: &str) -> Client {
        let what = format!("source {source} started, listening on ");
        let log = self.log();
        let last = log.lines().rfind(|l| l.contains(&what)).unwrap();
        Client::new(last.rsplit(' ').next().unwrap().parse().unwrap())
    }

    pub fn connect(&self, source: &str) -> Client {
        Client::new(self.address(source))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Writes another configuration and has the agent read it; the outcome.
    pub fn reload(&self, conf: &Conf) -> String {
        let before = self.metrics()["AGENT.a1"].clone();
        let reloads = |m: &serde_json::Value| {
            ["LastReloadTime", "ConfigurationVersion", "ReloadRefusedCount"].map(|k| m[k].clone())
        };
        std::fs::write(self.folder.path("a1.conf"), conf.text()).unwrap();
        self.signal("HUP");
        let mut now = before.clone();
        wait(true, || {
            now = self.metrics()["AGENT.a1"].clone();
            reloads(&now) != reloads(&before)
        });
        now["LastReloadOutcome"].as_str().unwrap().to_owned()
    }

    /// Waits for the end; the exit code, and the whole log.
    pub fn wait_exit(&mut self, within: Duration) -> (Option<i32>, String) {
        let deadline = Instant::now() + within;
        let status: ExitStatus = loop {
            if let Some(s) = self.child.try_wait().unwrap() {
                break s;
            }
            assert!(Instant::now() < deadline, "still running after {within:?}:\n{}", self.log());
            park_timeout(Duration::from_millis(5));
        };
        if let Some(r) = self.reader.take() {
            r.join().unwrap();
        }
        (status.code(), self.log())
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(&mut self) -> String {
        self.signal("TERM");
        let (code, log) = self.wait_exit(PATIENCE);
        assert_eq!(code, Some(0), "{log}");
        log
    }

    pub fn make_folder(&self, name: &str) {
        std::fs::create_dir(self.folder.path(name)).unwrap();
    }

    /// All bytes of the files of a folder, in the order of their numbers.
    pub fn bytes(&self, folder: &str) -> Vec<u8> {
        let Ok(dir) = std::fs::read_dir(self.folder.path(folder)) else { return Vec::new() };
        let mut files: Vec<PathBuf> = dir.map(|e| e.unwrap().path()).collect();
        files.sort_by_key(|p| number(p));
        files.iter().flat_map(|p| std::fs::read(p).unwrap()).collect()
    }

    pub fn lines(&self, folder: &str) -> Vec<String> {
        let text = String::from_utf8(self.bytes(folder)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a folder's files have this many lines.
    pub fn wait_lines(&self, folder: &str, n: usize) -> Vec<String> {
        let count = || self.bytes(folder).iter().filter(|b| **b == b'\n').count();
        wait(n, || count().min(n));
        self.lines(folder)
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        get(self.listening("monitor metrics started"), path)
    }

    pub fn metrics(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/metrics").1).unwrap()
    }

    /// A number from the metrics, such as `SOURCE.r1`, `EventAcceptedCount`.
    pub fn metric(&self, component: &str, key: &str) -> usize {
        let all = self.metrics();
        all[component][key].as_str().unwrap_or_else(|| panic!("{component} {key}")).parse().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(r) = self.reader.take() {
            let _ = r.join();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the agent\n{}", self.log());
        }
    }
}

/// `1754-12` -> (1754, 12): when its sink began, and its number.
fn number(file: &Path) -> (u64, u64) {
    let name = file.file_name().unwrap().to_str().unwrap();
    let (began, n) = name.rsplit_once('-').unwrap();
    (began.parse().unwrap(), n.parse().unwrap())
}

/// A number from the lines that a stopping agent logs.
pub fn shutdown_metric(log: &str, component: &str, key: &str) -> usize {
    let (kind, name) = component.split_once('.').unwrap();
    let head = format!("Shutdown Metric for type: {kind}, name: {name}. ");
    let line = log.lines().find_map(|l| l.split_once(&head)).unwrap_or_else(|| panic!("{log}")).1;
    let pairs = line.split(", ").filter_map(|p| p.split_once(" == "));
    pairs.filter(|(k, _)| *k == key).map(|(_, v)| v.parse().unwrap()).next().unwrap()
}

/// A peer that sends and reads lines.
pub struct Client {
    pub socket: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let answers = BufReader::new(socket.try_clone().unwrap());
        Client { socket, answers }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// The next line of what the agent sends, newline included; empty at the end.
    pub fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    /// Sends a line and reads its answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n"));
        self.answer()
    }

    /// The same, where the agent may close instead of answering.
    pub fn try_ask(&mut self, line: &str) -> Option<String> {
        self.socket.write_all(format!("{line}\n").as_bytes()).ok()?;
        self.try_answer()
    }

    /// The next line of what the agent sends, or what came of it before the end; `None`: the connection is gone.
    pub fn try_answer(&mut self) -> Option<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).ok().map(|_| answer)
    }

    /// Whether the agent has closed, or closes now.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1];
        match self.answers.read(&mut rest) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// One HTTP request on a connection of its own: the status and the body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The most memory that an agent had, in KiB.
pub fn rss(agent: &Agent) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits until a value is the one expected.
pub fn wait<T: PartialEq + Debug>(expected: T, mut value: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let v = value();
        if v == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{v:?} where {expected:?} was expected");
        park_timeout(Duration::from_millis(10));
    }
}

/// Runs the program to its end: exit code, standard output, standard error.
pub fn flumed(folder: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumed"));
    let Output { status, stdout, stderr } =
        command.args(args).current_dir(folder).env_remove("RUST_LOG").output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// The lines of `flumed check` without the sections on what is no mistake; the last one counts.
pub fn findings(check: &str) -> Vec<&str> {
    let is_section = |l: &&str| l.starts_with("  ") || ["ignored:", "differs from Flume:"].contains(l);
    check.lines().filter(|l| !is_section(l)).collect()
}
