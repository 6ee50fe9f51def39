//! `flumed tool`: looking into the files of a stopped file channel, and taking over Flume's.
//!
//! The words to a job for `channel::file::tool`, its outcome to an exit code. Where a channel's directories are is said
//! by words or by a configuration, which is read as `check` reads it. Flume's name for its own tool is taken, too.

use super::flags::Flags;
use super::{complain, loader, logging, print, refuse, report, Hooks};
use crate::channel::file::tool::{self, Dump, Import, Imported, Place, Repeat, Step, ToolError};
use crate::channel::flume::is_flume_dir;
use crate::config::{Context, Problems};
use crate::lifecycle::{CONFIGURATION, FAILURE};
use crate::lock::lock;
use std::collections::BTreeMap;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Exit code: done, and something is damaged.
const DAMAGE: u8 = 4;
/// What to ask for help.
const HELP: &str = "flumed tool help";
/// Between two looks of a progress line.
const REDRAW: Duration = Duration::from_millis(250);

/// Does what the words behind `tool` say.
pub fn main(args: &[String], hooks: &Hooks) -> u8 {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["help" | "--help" | "-h"] | ["channel", "help" | "--help" | "-h"] => print(USAGE, 0),
        ["channel", command @ ("check" | "dump" | "stats" | "repair" | "import"), ..] => {
            match run(command, &args[2..], hooks) {
                Ok(code) => code,
                Err(code) => code,
            }
        }
        ["fcintegritytool", ..] => integrity(&args[1..]),
        ["channel", ..] | [] => unknown("Unknown or unspecified command of 'tool channel'"),
        [other, ..] => unknown(&format!("Unknown command '{other}' of 'tool'")),
    }
}

fn unknown(what: &str) -> u8 {
    complain(&format!("Error: {what}\n\n{}", USAGE.trim_end()));
    CONFIGURATION
}

pub const USAGE: &str = "\
Usage: flumed tool channel <command> WHICH [options]...
       flumed tool fcintegritytool -l DIR[,DIR...]     Flume's words for 'check'

Looks into a file channel that no agent has open.

commands:
  check    read everything, tell what is there and what is damaged; changes nothing
  dump     print the frames, a line each
  stats    how many events, how old, how large, what keeps segments from being freed
  repair   say what would be mended, with --yes do it; copies are kept of what is changed
  import   take over what a stopped Flume channel has not delivered; Flume's files stay as they are

which channel:
  DIR...                           its data directories (dataDirs), with
  --checkpoint DIR                 its checkpoint directory; without it checkpoints are not looked at
  --key-file FILE                  its key, if it is encrypted
  --old-key-file FILE              keys of older segments, one at a time
or:
  -n, --name AGENT                 all of that from a configuration, read as 'check' reads it:
  -f, --conf-file FILE             the file, several are merged
  -c, --conf DIR                   where flume.opts may be
  --channel NAME                   the channel

options of dump:
  --events                         the events of each put, too
  --live                           only events that are not taken
  --hex                            bodies as hexadecimal digits
  --segment N                      only this segment
  --from NUMBER                    only events from this number on
  --limit N                        at most so many frames, or events

options of import:
  --from DIR[,DIR...]              Flume's data directories, if they are not the channel's
  --flume-checkpoint DIR           Flume's checkpoint directory, if it is not the channel's
  --into DIR                       the channel's data directories, in place of DIR...
  --resume                         go on with an import that was cut short
  --again                          import everything once more; what was imported before comes twice

exit codes: 0 in order, 1 it could not be done, 2 wrong options or configuration, 4 damage was found
";

fn options(command: &str) -> getopts::Options {
    let mut o = getopts::Options::new();
    o.optopt("", "checkpoint", "", "DIR").optopt("", "key-file", "", "FILE");
    o.optmulti("", "old-key-file", "", "FILE").optflag("h", "help", "");
    o.optopt("n", "name", "", "AGENT").optmulti("f", "conf-file", "", "FILE");
    o.optmulti("c", "conf", "", "DIR").optopt("", "channel", "", "NAME");
    match command {
        "dump" => {
            o.optflag("", "events", "").optflag("", "live", "").optflag("", "hex", "");
            o.optopt("", "segment", "", "N").optopt("", "from", "", "NUMBER").optopt("", "limit", "", "N");
        }
        "repair" => {
            o.optflag("", "yes", "");
        }
        "import" => {
            o.optmulti("", "from", "", "DIR").optopt("", "flume-checkpoint", "", "DIR");
            o.optmulti("", "into", "", "DIR").optflag("", "resume", "").optflag("", "again", "");
        }
        _ => {}
    }
    o
}

fn wrong(what: impl Into<String>) -> u8 {
    refuse(&[what.into()], HELP)
}

/// Both arms are exit codes; an error is one that ends it early.
fn run(command: &str, args: &[String], hooks: &Hooks) -> Result<u8, u8> {
    let (properties, args): (Vec<String>, Vec<String>) =
        args.iter().cloned().partition(|a| a.starts_with("-D"));
    let given = options(command).parse(&args).map_err(|e| wrong(e.to_string()))?;
    if given.opt_present("help") {
        return Ok(print(USAGE, 0));
    }
    let configured = configured(&given, &properties, hooks)?;
    let place = place(&given, configured.as_ref())?;
    if command == "import" {
        return import(&given, configured.as_ref(), &place);
    }
    if place.data_dirs.is_empty() {
        return Err(wrong("which channel? Give its data directories, or -n, -f and --channel"));
    }
    match command {
        "repair" => {
            // Written when it is done: nobody who stops reading stops a repair.
            let mut text = Vec::new();
            let done = tool::repair(&place, given.opt_present("yes"), &mut text);
            let printed = print(&String::from_utf8_lossy(&text), 0);
            Ok(ended(done.map(|()| printed)))
        }
        _ => {
            let place = Place { progress: Some(tell_read), ..place };
            let mut out = BufWriter::new(std::io::stdout().lock());
            let done = match command {
                "check" => {
                    tool::check(&place, &mut out).map(|is_damaged| if is_damaged { DAMAGE } else { 0 })
                }
                "stats" => tool::stats(&place, &mut out).map(|()| 0),
                _ => tool::dump(&place, &wanted(&given)?, &mut out).map(|()| 0),
            };
            lock(&READING).iter().for_each(Progress::clear);
            let flushed = out.flush();
            Ok(ended(done.and_then(|code| flushed.map(|()| code).map_err(ToolError::Output))))
        }
    }
}

/// The progress of commands that read segments: one line, whatever reads.
static READING: Mutex<Option<Progress>> = Mutex::new(None);

fn tell_read(done: u64, all: u64) {
    lock(&READING).get_or_insert_with(Progress::new).show(&Step::Checking(done, all));
}

/// Tells what went wrong. That nobody reads on is no failure.
fn ended(done: Result<u8, ToolError>) -> u8 {
    match done {
        Ok(code) => code,
        Err(ToolError::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(e) => {
            complain(&format!("Error: {e}"));
            FAILURE
        }
    }
}

/// The channel's settings, where a configuration is named.
fn configured(given: &getopts::Matches, properties: &[String], hooks: &Hooks) -> Result<Option<Context>, u8> {
    let names: Vec<String> =
        ["name", "conf-file", "channel"].iter().filter_map(|o| given.opt_str(o)).collect();
    if names.is_empty() && !given.opt_present("conf") {
        return Ok(None);
    }
    let Some(channel) = given.opt_str("channel") else {
        return Err(wrong("--channel is required with a configuration: the name of the channel"));
    };
    let mut words = properties.to_vec();
    for option in ["name", "conf-file", "conf"] {
        words.extend(given.opt_strs(option).iter().map(|value| format!("--{option}={value}")));
    }
    let run = match Flags::parse(&words) {
        Ok(Flags::Run(run)) => *run,
        Ok(Flags::Help) => return Err(print(USAGE, 0)),
        Err(all) => return Err(refuse(&all, HELP)),
    };
    let mut problems = Problems::default();
    let plan = loader(run, hooks).load(&mut problems);
    let channels = plan.map(|p| p.channels).unwrap_or_default();
    match channels.into_iter().find(|c| c.name == channel) {
        Some(c) if c.declared.name == "file" => Ok(Some(c.context)),
        Some(c) => Err(wrong(format!("channel {channel} is of type {}, not file", c.declared.name))),
        None => {
            complain(&report(&problems, false));
            Err(wrong(format!("there is no usable channel {channel} in this configuration")))
        }
    }
}

fn paths(all: &[String]) -> Vec<PathBuf> {
    all.iter()
        .flat_map(|a| a.split(','))
        .map(str::trim)
        .filter(|a| !a.is_empty())
        .map(PathBuf::from)
        .collect()
}

fn place(given: &getopts::Matches, configured: Option<&Context>) -> Result<Place, u8> {
    let into = if given.opt_defined("into") { given.opt_strs("into") } else { Vec::new() };
    let Some(ctx) = configured else {
        let dirs = if into.is_empty() { &given.free } else { &into };
        return Ok(Place {
            data_dirs: paths(dirs),
            checkpoint_dir: given.opt_str("checkpoint").map(PathBuf::from),
            backup_dir: None,
            key_file: given.opt_str("key-file").map(PathBuf::from),
            old_key_files: given.opt_strs("old-key-file").iter().map(PathBuf::from).collect(),
            progress: None,
        });
    };
    let words = ["checkpoint", "key-file", "old-key-file"].iter().any(|o| given.opt_present(o));
    if words || !given.free.is_empty() || !into.is_empty() {
        return Err(wrong(
            "directories and keys come from the configuration or from the command line, not from both",
        ));
    }
    Ok(Place::of(ctx))
}

fn wanted(given: &getopts::Matches) -> Result<Dump, u8> {
    let number = |option: &str| match given.opt_str(option).map(|text| text.parse::<u64>()) {
        None => Ok(None),
        Some(Ok(n)) => Ok(Some(n)),
        Some(Err(_)) => Err(wrong(format!("--{option} is a number"))),
    };
    Ok(Dump {
        events: given.opt_present("events"),
        live: given.opt_present("live"),
        hex: given.opt_present("hex"),
        segment: number("segment")?,
        from: number("from")?,
        limit: number("limit")?,
    })
}

fn import(given: &getopts::Matches, configured: Option<&Context>, place: &Place) -> Result<u8, u8> {
    let mut job = match configured {
        Some(ctx) => Import::of(ctx),
        None => Import::into(place).map_err(wrong)?,
    };
    let (from, checkpoint) = (paths(&given.opt_strs("from")), given.opt_str("flume-checkpoint"));
    match (from.is_empty(), checkpoint) {
        (false, checkpoint) => job.from(from, checkpoint.map(PathBuf::from)),
        (true, None) => {}
        (true, Some(_)) => return Err(wrong("--flume-checkpoint goes with --from")),
    }
    job.repeat = match (given.opt_present("again"), given.opt_present("resume")) {
        (false, false) => Repeat::Refuse,
        (true, false) => Repeat::Again,
        (false, true) => Repeat::Resume,
        (true, true) => return Err(wrong("--again and --resume exclude each other")),
    };
    logging::start(&BTreeMap::from([("flume.root.logger".to_owned(), "WARN".to_owned())]));
    let mut line = Progress::new();
    let mut text = Vec::new();
    let done = tool::import(job, &mut |step| line.show(&step), &mut text);
    line.clear();
    let printed = print(&String::from_utf8_lossy(&text), 0);
    Ok(ended(done.map(|how| match how {
        Imported::All => printed,
        Imported::WithDamage => DAMAGE,
    })))
}

/// A line on the terminal that is written over; nothing where standard error is something else.
struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    fn new() -> Progress {
        let next = std::io::stderr().is_terminal().then(Instant::now);
        Progress { next, is_shown: false }
    }

    fn show(&mut self, step: &Step) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + REDRAW);
        self.is_shown = true;
        let text = match step {
            Step::Reading(done, all) => format!("reading Flume's files: {} of {} MiB", done >> 20, all >> 20),
            Step::Checking(done, all) => format!("reading segments: {} of {} MiB", done >> 20, all >> 20),
            Step::Storing(done, all) => format!("importing: {done} of {all} events"),
        };
        // Who cannot be told is not told.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }

    fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Flume's tool: a check here.
fn integrity(args: &[String]) -> u8 {
    let (_, args): (Vec<String>, Vec<String>) = args.iter().cloned().partition(|a| a.starts_with("-D"));
    let mut o = getopts::Options::new();
    o.optmulti("l", "dataDirs", "", "DIR")
        .optopt("e", "eventValidator", "", "CLASS")
        .optflag("h", "help", "");
    let given = match o.parse(&args) {
        Ok(given) => given,
        Err(e) => return wrong(e.to_string()),
    };
    if given.opt_present("h") {
        return print(USAGE, 0);
    }
    if given.opt_present("e") {
        return wrong("-e is not supported by flumed: event validators are Java classes");
    }
    let place = Place { data_dirs: paths(&given.opt_strs("l")), ..Place::default() };
    if place.data_dirs.is_empty() {
        return wrong("-l is required: the data directories, separated by commas");
    }
    complain(
        "Note: this is 'flumed tool channel check': it changes nothing, 'flumed tool channel repair' does",
    );
    for dir in place.data_dirs.iter().filter(|d| is_flume_dir(d).unwrap_or(false)) {
        complain(&format!(
            "Note: Flume's own files in {} are not looked at; Flume's tool does that",
            dir.display()
        ));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = tool::check(&place, &mut out).map(|is_damaged| if is_damaged { DAMAGE } else { 0 });
    let flushed = out.flush();
    ended(done.and_then(|code| flushed.map(|()| code).map_err(ToolError::Output)))
}
