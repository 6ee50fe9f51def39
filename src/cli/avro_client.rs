//! `flumed avro-client`: lines of standard input, a file or a directory to an avro source, with Flume's options.
//!
//! Words to a sender and its input, the outcome to an exit code. The main thread reads and sends; a thread of its own
//! waits for signals, says how far it came, and ends the process.

use super::words::{Name, Words};
use super::{complain, logging, print, refuse};
use crate::client::{Address, Client, Settings};
use crate::config::{properties, Problems};
use crate::event::Key;
use crate::lifecycle::FAILURE;
use sender::{Progress, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod sender;
mod spool;

pub const USAGE: &str = "\
Usage: flumed avro-client [options]...

Sends lines to an avro source, of flumed or Flume, an event each.

where to:
  -H, --host HOST        the server, with
  -p, --port PORT        its port; 100 events to a call (Flume's client sends 5)
  -P, --rpcProps FILE    or what this file says, with the properties of Flume's SDK: client.type, hosts,
                         hosts.NAME = host:port, batch-size, connect-timeout, request-timeout, max-attempts,
                         host-selector, backoff, maxBackoff, compression-type, compression-level, protocol (of
                         client.type = thrift), ssl and the keys of TLS that the avro sink has

what (standard input without either):
  -F, --filename FILE    the lines of this file
  --dirname DIR          the lines of each file of this directory, oldest first, until there is none; a file is
                         renamed to FILE.COMPLETED when all of it is stored; names that begin with a dot or end
                         in .COMPLETED are passed over; it stops where FILE.COMPLETED is there already; where it
                         is cut short, the next run sends the file at hand again from its first line
  -R, --headerFile FILE  a properties file; its pairs become headers of every event

  -h, --help             this text

exit codes: 0 everything is stored, 1 it is not, and the message says how far it came, 2 wrong options, or a file
that they name cannot be read
";

/// What to ask for help.
const HELP: &str = "flumed avro-client --help";

const NAMES: &[Name] = &[
    Name { short: "H", long: "host" },
    Name { short: "p", long: "port" },
    Name { short: "P", long: "rpcProps" },
    Name { short: "F", long: "filename" },
    Name { short: "", long: "dirname" },
    Name { short: "R", long: "headerFile" },
    Name { short: "h", long: "help" },
    // What the script flume-ng hands on; there is nothing in it for a client.
    Name { short: "c", long: "conf" },
];

/// What the words ask for.
struct Job {
    client: Client,
    input: Input,
    headers: Vec<(Key, String)>,
    notes: Vec<String>,
}

enum Input {
    Standard,
    File(PathBuf, File),
    Directory(PathBuf),
}

/// Does what the words behind `avro-client` say.
pub fn main(args: &[String]) -> u8 {
    let words = match Words::sort(args, NAMES) {
        Ok(words) => words,
        Err(wrong) => return refuse(&[wrong], HELP),
    };
    let given = match options().parse(&words.rest) {
        Ok(given) => given,
        Err(e) => return refuse(&[e.to_string()], HELP),
    };
    if given.opt_present("help") {
        return print(USAGE, 0);
    }
    let mut levels = words.properties.clone();
    levels.entry("flume.root.logger".to_owned()).or_insert_with(|| "WARN".to_owned());
    logging::start(&levels);
    let job = match job(&given) {
        Ok(job) => job,
        Err(wrong) => return refuse(&wrong, HELP),
    };
    job.notes.iter().for_each(|note| complain(&format!("Note: {note}")));
    let progress = Arc::new(Progress::default());
    if let Err(e) = watch_signals(&progress) {
        log::warn!("signals are not handled: {e}");
    }
    let mut sender = Sender::new(job.client, job.headers, progress.clone());
    let done = match job.input {
        Input::Standard => sender.send(&mut std::io::stdin().lock()),
        Input::File(path, mut file) => sender.send(&mut file).map_err(|e| format!("{}: {e}", path.display())),
        Input::Directory(dir) => spool::send(&dir, &mut sender, &progress),
    };
    progress.finish();
    match done {
        Ok(()) => 0,
        Err(why) => {
            complain(&format!("Error: {why}; {}", progress.told()));
            FAILURE
        }
    }
}

/// A file of lines; with its name in the error.
fn open(path: &Path) -> Result<File, String> {
    let is_directory = |file: File| match file.metadata()?.is_dir() {
        true => Err(Error::from(ErrorKind::IsADirectory)),
        false => Ok(file),
    };
    File::open(path).and_then(is_directory).map_err(|e| format!("{}: {e}", path.display()))
}

fn options() -> getopts::Options {
    let mut o = getopts::Options::new();
    o.optopt("H", "host", "", "HOST").optopt("p", "port", "", "PORT").optopt("P", "rpcProps", "", "FILE");
    o.optopt("F", "filename", "", "FILE").optopt("", "dirname", "", "DIR");
    o.optopt("R", "headerFile", "", "FILE").optflag("h", "help", "").optmulti("c", "conf", "", "DIR");
    o
}

/// Everything that is wrong with the words, or what they ask for.
fn job(given: &getopts::Matches) -> Result<Job, Vec<String>> {
    let (mut wrong, mut notes) = (Vec::new(), Vec::new());
    let input = input(given).map_err(|what| wrong.push(what));
    let client = client(given, &mut notes).map_err(|all| wrong.extend(all));
    let headers = match given.opt_str("headerFile") {
        Some(file) => headers(Path::new(&file)).map_err(|all| wrong.extend(all)),
        None => Ok(Vec::new()),
    };
    wrong.extend(given.free.iter().map(|word| format!("not an option: {word}")));
    match (client, headers, input) {
        (Ok(client), Ok(headers), Ok(input)) if wrong.is_empty() => Ok(Job { client, input, headers, notes }),
        _ => Err(wrong),
    }
}

/// Where the lines are; opened, so that what is not there is a wrong option and nothing was begun.
fn input(given: &getopts::Matches) -> Result<Input, String> {
    match (given.opt_str("filename"), given.opt_str("dirname")) {
        (None, None) => Ok(Input::Standard),
        (Some(file), None) => match open(Path::new(&file)) {
            Ok(opened) => Ok(Input::File(file.into(), opened)),
            Err(e) => Err(format!("--filename {e}")),
        },
        (None, Some(dir)) => match std::fs::read_dir(&dir) {
            Ok(_) => Ok(Input::Directory(dir.into())),
            Err(e) => Err(format!("--dirname {dir}: {e}")),
        },
        (Some(_), Some(_)) => Err("--filename and --dirname exclude each other".to_owned()),
    }
}

fn client(given: &getopts::Matches, notes: &mut Vec<String>) -> Result<Client, Vec<String>> {
    let (host, port) = (given.opt_str("host"), given.opt_str("port"));
    if let Some(file) = given.opt_str("rpcProps") {
        if host.is_some() || port.is_some() {
            notes.push("--host and --port mean nothing beside --rpcProps".to_owned());
        }
        return Client::from_file(Path::new(&file));
    }
    let mut wrong = Vec::new();
    if host.is_none() {
        wrong.push("--host is required, or --rpcProps: the server to send to".to_owned());
    }
    let number = port.as_ref().and_then(|p| p.parse().ok()).filter(|p| *p > 0u16);
    match (&port, number) {
        (None, _) => wrong.push("--port is required, or --rpcProps: the server's port".to_owned()),
        (Some(text), None) => wrong.push(format!("--port {text}: expected a number from 1 to 65535")),
        _ => {}
    }
    match (host, number) {
        (Some(host), Some(port)) => Ok(Client::new(Address::new(&host, port), Settings::default())),
        _ => Err(wrong),
    }
}

fn headers(file: &Path) -> Result<Vec<(Key, String)>, Vec<String>> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|e| vec![format!("--headerFile {name}: {e}")])?;
    let mut problems = Problems::default();
    let mut all: Vec<(Key, String)> = Vec::new();
    for p in properties::parse(&name.clone().into(), &bytes, &mut problems) {
        let Some(key) = Key::intern_own(&p.name) else {
            return Err(vec![format!("--headerFile {name}: more names than can be kept")]);
        };
        match all.iter_mut().find(|(k, _)| *k == key) {
            Some(held) => held.1 = p.value,
            None => all.push((key, p.value)),
        }
    }
    match problems.errors() {
        0 => Ok(all),
        _ => Err(problems.sorted().iter().map(|p| p.to_string()).collect()),
    }
}

/// The first signal to stop ends it: nothing is lost by that, and what is under way can be told.
fn watch_signals(progress: &Arc<Progress>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let progress = progress.clone();
    let wait = move || {
        if signals.forever().next().is_some() {
            progress.finish();
            complain(&format!("Interrupted: {}", progress.told()));
            std::process::exit(FAILURE.into());
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop)
}

#[cfg(test)]
mod tests;
