//! The command line: commands, exit codes, and what is printed where.
//!
//! Commands and options are those of Flume's script, so that a service unit keeps working with another program
//! name; `check`, `components` and `tool channel` are ours. Findings that stop a start go to standard error, the answers that a
//! command was asked for to standard output. Runs on the main thread; only `program` imports this module.

mod avro_client;
mod components;
mod defaults;
mod flags;
mod logging;
mod tool;
mod words;

use crate::config::{Catalog, Declared, Loader, Plan, Problem, Problems, RunOptions, Severity};
use crate::lifecycle::{CONFIGURATION, FAILURE};
use flags::{Flags, Run};
use std::io::Write;

/// What to ask for help with the agent's options.
const HELP: &str = "flumed help";

/// What the command line works on: the components there are, and the agent.
pub struct Hooks {
    pub catalog: &'static dyn Catalog,
    /// The keys under `<agent>.flumed.`.
    pub agent_declared: &'static Declared,
    /// Runs until told to stop; returns the exit code.
    pub run: fn(Plan, RunOptions, Loader) -> u8,
}

/// Does what `args`, the words behind the program's name, say. Returns the exit code.
pub fn main(args: Vec<String>, hooks: &Hooks) -> u8 {
    let (command, rest) = args.split_first().map_or(("", &[][..]), |(c, rest)| (c.as_str(), rest));
    match command {
        "agent" => agent(rest, hooks),
        "node" => {
            complain("Warning: the command 'node' is deprecated, use 'agent'");
            agent(rest, hooks)
        }
        "check" => check(rest, hooks),
        "components" => components(rest, hooks),
        "tool" => tool::main(rest, hooks),
        "avro-client" => avro_client::main(rest),
        "version" | "--version" => print(&version(), 0),
        "help" | "--help" | "-h" => print(&usage(), 0),
        _ => {
            complain(&format!("Error: Unknown or unspecified command '{command}'\n\n{}", usage().trim_end()));
            CONFIGURATION
        }
    }
}

fn agent(args: &[String], hooks: &Hooks) -> u8 {
    let run = match Flags::parse(args) {
        Ok(Flags::Run(run)) => *run,
        Ok(Flags::Help) => return print(&usage(), 0),
        Err(wrong) => return refuse(&wrong, HELP),
    };
    logging::start(&run.options.properties);
    for note in &run.notes {
        log::info!("{note}");
    }
    let options = run.options.clone();
    let mut problems = Problems::default();
    let mut loader = loader(run, hooks);
    let plan = loader.load(&mut problems);
    let runs = problems.errors() == 0 || options.lenient;
    if !runs {
        complain(&report(&problems, false));
        return CONFIGURATION;
    }
    for p in problems.sorted() {
        // The level says how bad it is; the text need not.
        let text = Problem { severity: Severity::Error, ..p.clone() };
        match p.severity {
            Severity::Error => log::error!("{text}: left out, as Flume would (--lenient)"),
            Severity::Warning => log::warn!("{text}"),
            Severity::Ignored => log::info!("ignored: {text}"),
            Severity::Note => log::debug!("{text}"),
        }
    }
    match plan {
        Some(plan) => (hooks.run)(plan, options, loader),
        None => {
            complain(&format!("Error: nothing to run, {}", problems.summary()));
            CONFIGURATION
        }
    }
}

fn check(args: &[String], hooks: &Hooks) -> u8 {
    let run = match Flags::parse(args) {
        Ok(Flags::Run(run)) => *run,
        Ok(Flags::Help) => return print(&usage(), 0),
        Err(wrong) => return refuse(&wrong, HELP),
    };
    let mut problems = Problems::default();
    let plan = loader(run, hooks).load(&mut problems);
    let is_good = problems.errors() == 0 && plan.is_some();
    print(&format!("{}\n", report(&problems, true)), if is_good { 0 } else { CONFIGURATION })
}

fn loader(run: Run, hooks: &Hooks) -> Loader {
    Loader::new(run.origins, run.name, run.options, hooks.catalog, hooks.agent_declared)
}

/// A line for each finding and one that counts them. `says_all`: also what is no mistake.
fn report(problems: &Problems, says_all: bool) -> String {
    let sorted = problems.sorted();
    let (ignored, findings): (Vec<_>, Vec<_>) = sorted.iter().partition(|p| p.severity == Severity::Ignored);
    let is_told = |p: &&&&Problem| says_all || p.severity != Severity::Note;
    let mut lines: Vec<String> = findings.iter().filter(is_told).map(|p| p.to_string()).collect();
    if says_all {
        section(&mut lines, "ignored:", ignored.iter().map(|p| p.to_string()));
        let used = problems.used().iter();
        let differs =
            used.flat_map(|d| d.differs.iter().map(|text| format!("{} {}: {text}", d.kind.word(), d.name)));
        section(&mut lines, "differs from Flume:", differs);
    }
    lines.push(problems.summary());
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, title: &str, texts: impl Iterator<Item = String>) {
    let before = lines.len();
    lines.extend(texts.map(|t| format!("  {t}")));
    if lines.len() > before {
        lines.insert(before, title.to_owned());
    }
}

fn components(args: &[String], hooks: &Hooks) -> u8 {
    match components::text(args.first().map(String::as_str), hooks) {
        Ok(text) => print(&text, 0),
        Err(wrong) => refuse(&[wrong], "flumed components"),
    }
}

/// `help`: the command that shows what is right.
fn refuse(wrong: &[String], help: &str) -> u8 {
    for w in wrong {
        complain(&format!("Error: {w}"));
    }
    complain(&format!("Try '{help}'."));
    CONFIGURATION
}

fn version() -> String {
    let system = (std::env::consts::ARCH, std::env::consts::OS);
    [
        format!("flumed {}", env!("CARGO_PKG_VERSION")),
        "Stands in for the agent of Apache Flume 1.11".to_owned(),
        format!("Licensed under {}", env!("CARGO_PKG_LICENSE")),
        format!("Compiled for {} {}", system.0, system.1),
        format!("Compiled as a {} build", if cfg!(debug_assertions) { "debug" } else { "release" }),
    ]
    .map(|line| line + "\n")
    .concat()
}

fn usage() -> String {
    format!(
        "\
Usage: flumed <command> [options]...

commands:
  agent                     run an agent
  check                     test an agent's configuration: all findings, what of it is ignored and what is not as
                            in Flume; exit code 2 when there are errors
  components [KIND[.TYPE]]  what can be configured, and the keys of one component
  tool channel COMMAND      look into the files of a file channel, mend them, or take over Flume's; see
                            'flumed tool help'
  avro-client               send lines to an avro source; see 'flumed avro-client --help'
  version                   show version information
  help                      show this text

options of agent and check:
{}  -Dname=value                     what ${{sys:name}} stands for; -Dflumed.KEY=value stands over AGENT.flumed.KEY of
                                   the file
  -Xmx<size>                       stands for the heap of which channels take their share; other Java options are
                                   ignored

exit codes: 0 stopped in order, 1 failure, 2 wrong configuration or options, 3 stop cut short,
4 a tool found damage
",
        flags::usage()
    )
}

/// To standard output; that nobody reads on (`flumed components | head`) is no failure.
fn print(text: &str, code: u8) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => FAILURE,
        _ => code,
    }
}

/// To standard error; when that fails there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::testing::{Known, AGENT};

    /// Runs end with a code that tells what ran.
    pub const HOOKS: Hooks = Hooks {
        catalog: &Known,
        agent_declared: &AGENT,
        run: |plan, _, _| 100 + plan.sources.len() as u8 * 10 + plan.sinks.len() as u8,
    };

    fn code(line: &str) -> u8 {
        main(line.split_whitespace().map(str::to_owned).collect(), &HOOKS)
    }

    #[test]
    fn commands_and_exit_codes() {
        assert_eq!(
            ["help", "version", "tool help", "avro-client -h", "components", "components sink.null"]
                .map(code),
            [0; 6]
        );
        assert_eq!(["", "gizmo", "tool x", "tool", "components gizmo"].map(code), [CONFIGURATION; 5]);
        assert_eq!(
            ["agent", "avro-client", "check -n a", "agent -n a -f /nowhere/x.conf"].map(code),
            [CONFIGURATION; 4]
        );
        assert_eq!(code("agent --help"), 0);
        assert_eq!(version().lines().count(), 5);
        assert!(usage().contains("-n, --name NAME"), "{}", usage());
        assert!(!usage().contains("zkConn"));
    }

    #[test]
    fn errors_stop_a_start_unless_lenient() {
        let file = std::env::temp_dir().join(format!("flumed-cli-{}.conf", std::process::id()));
        let good = "a.sources = r\na.channels = c\na.sinks = k1 k2\na.sources.r.type = seq\na.sources.r.channels = c\n\
                    a.channels.c.type = memory\na.sinks.k1.type = null\na.sinks.k1.channel = c\n\
                    a.sinks.k2.type = null\na.sinks.k2.channel = ";
        let with = |channel: &str, command: &str| {
            std::fs::write(&file, format!("{good}{channel}\n")).unwrap();
            code(&format!("{command} -f {}", file.display()))
        };
        assert_eq!(with("c", "agent -n a"), 112);
        assert_eq!(with("c", "node -name a -Dflumed.stop.dedline=1"), 112);
        assert_eq!(with("c", "check -n a"), 0);
        assert_eq!(with("d", "check -n a --lenient"), CONFIGURATION);
        assert_eq!(with("d", "agent -n a"), CONFIGURATION);
        assert_eq!(with("d", "agent -n a --lenient"), 111);
        assert_eq!(with("c", "agent -n b --lenient"), CONFIGURATION);
        std::fs::remove_file(&file).unwrap();
    }
}
