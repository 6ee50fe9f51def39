//! The process: arguments to the command line, its result to an exit code.

use flumed::cli::{self, Hooks};
use flumed::config::{Catalog, Declared, Kind, Plan, RunOptions};

// Stand-ins until `registry` and `agent` are there: no component is known, so no plan can come to be run.
struct Nothing;

impl Catalog for Nothing {
    fn find(&self, _: Kind, _: &str) -> Option<&'static Declared> {
        None
    }

    fn all(&self, _: Kind) -> Vec<&'static Declared> {
        Vec::new()
    }

    fn unsupported(&self, _: Kind, _: &str) -> Option<String> {
        None
    }
}

static AGENT: Declared =
    Declared { kind: Kind::Agent, name: "agent", class: "", help: "the agent", keys: &[], batch_key: None };

fn run(_: Plan, _: RunOptions) -> u8 {
    cli::FAILURE
}

fn main() -> std::process::ExitCode {
    let args = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    cli::main(args, &Hooks { catalog: &Nothing, agent_declared: &AGENT, run }).into()
}
