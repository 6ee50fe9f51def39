//! The config filter `external`: a command that prints the value of the key it is given.
//!
//! No shell: the command is split at white space, the key is its last argument. Its output is read while it runs (Flume
//! waits first, so a long output blocks both), by a thread of its own, up to a limit; it has a deadline, after which it
//! and what it has started are killed. Its standard error goes nowhere: it may hold the secret.

use super::{first_line, ConfigFilter, ConfigFilterSpec, Given, LONGEST_VALUE};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use encoding_rs::Encoding;
use nix::sys::signal::{killpg, Signal};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(super) static SPEC: ConfigFilterSpec = Spec {
    declared: Declared {
        kind: Kind::ConfigFilter,
        name: "external",
        class: "org.apache.flume.configfilter.ExternalProcessConfigFilter",
        help: "Values from a command, run once for each key",
        keys: &[&[
            Key::new(
                "command",
                Type::Text,
                Default::Required,
                "the command, split at white space, no shell; the key is added, the first line printed is the value",
            ),
            Key::new("charset", Type::Text, Default::Is("UTF-8"), "charset of what the command prints"),
        ]],
        batch_key: None,
        check: Some(check),
        advice: None,
        differs: &["a command may take 30 s and print 64 KiB; its output is read while it runs"],
    },
    build,
};

/// How long a command may run.
const DEADLINE: Duration = Duration::from_secs(30);

fn check(ctx: &Context) -> Vec<(&'static str, String)> {
    let name = ctx.text("charset").unwrap_or_default();
    match Encoding::for_label(name.as_bytes()) {
        Some(_) => Vec::new(),
        None => vec![("charset", format!("'{name}' is not a known charset"))],
    }
}

fn build(ctx: &Context) -> Box<dyn ConfigFilter> {
    let command = ctx.text("command").unwrap_or_default();
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let program = words.first().map_or("", String::as_str);
    Box::new(External {
        shown: ctx.shown("command", program).to_owned(),
        charset: Encoding::for_label(ctx.text("charset").unwrap_or_default().as_bytes())
            .unwrap_or(encoding_rs::UTF_8),
        words,
        deadline: DEADLINE,
        has_hung: false,
    })
}

pub(super) struct External {
    pub(super) words: Vec<String>,
    /// The program, as messages name it.
    pub(super) shown: String,
    pub(super) charset: &'static Encoding,
    pub(super) deadline: Duration,
    /// It did not end in time once: it is not waited for again.
    pub(super) has_hung: bool,
}

impl ConfigFilter for External {
    fn get(&mut self, key: &str) -> Result<Given, String> {
        if self.has_hung {
            return Err(format!("{} did not end in time before and is not run again", self.shown));
        }
        let bytes = self.run(key)?;
        let (text, _, _) = self.charset.decode(&bytes);
        first_line(&text, &format!("the output of {}", self.shown))
    }
}

impl External {
    fn run(&mut self, key: &str) -> Result<Vec<u8>, String> {
        let (program, words) = self.words.split_first().ok_or("the command is empty")?;
        let mut command = Command::new(program);
        command.args(words).arg(key).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // A group of its own, so that what it starts can be ended with it.
        let spawned = command.process_group(0).spawn();
        let child = spawned.map_err(|e| format!("{} cannot be run: {e}", self.shown))?;
        let outcome = self.watch(child);
        if let Err(Ended::Late) = outcome {
            self.has_hung = true;
        }
        let shown = &self.shown;
        match outcome {
            Ok((status, bytes)) if status.success() => Ok(bytes),
            Ok((status, _)) => Err(format!("{shown} failed: {status}")),
            Err(Ended::Late) => Err(format!("{shown} was killed: it did not end within {:?}", self.deadline)),
            Err(Ended::Flood) => {
                Err(format!("{shown} was killed: it printed more than {} KiB", LONGEST_VALUE >> 10))
            }
            Err(Ended::Broken(e)) => Err(format!("{shown} was killed: {e}")),
        }
    }

    /// Waits for the end of the output and of the command.
    fn watch(&self, mut child: Child) -> Result<(ExitStatus, Vec<u8>), Ended> {
        let deadline = Instant::now() + self.deadline;
        let outcome = self.read(&mut child, deadline);
        let outcome = outcome.and_then(|bytes| Ok((wait(&mut child, deadline)?, bytes)));
        if outcome.is_err() {
            kill(&mut child);
        }
        outcome
    }

    fn read(&self, child: &mut Child, deadline: Instant) -> Result<Vec<u8>, Ended> {
        let Some(stdout) = child.stdout.take() else { return Ok(Vec::new()) };
        let (sender, output) = mpsc::channel();
        // It ends with the pipe, at the latest when whoever holds that is killed.
        let reader = std::thread::Builder::new().name("config filter".to_owned()).spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(LONGEST_VALUE as u64 + 1).read_to_end(&mut bytes);
            // Nobody listens after the deadline.
            let _ = sender.send(read.map(|_| bytes));
        });
        reader.map_err(|e| Ended::Broken(e.to_string()))?;
        let left = deadline.saturating_duration_since(Instant::now());
        match output.recv_timeout(left) {
            Ok(Ok(bytes)) if bytes.len() > LONGEST_VALUE => Err(Ended::Flood),
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(e)) => Err(Ended::Broken(e.to_string())),
            Err(_) => Err(Ended::Late),
        }
    }
}

/// Why a command was ended.
enum Ended {
    Late,
    Flood,
    Broken(String),
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, Ended> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() >= deadline => return Err(Ended::Late),
            Ok(None) => std::thread::park_timeout(Duration::from_millis(2)),
            Err(e) => return Err(Ended::Broken(e.to_string())),
        }
    }
}

fn kill(child: &mut Child) {
    // The group has its number; it exists as long as the child was not waited for.
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}
