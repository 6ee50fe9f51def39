//! The process: arguments to the command line, its result to an exit code.

use flumed::cli::{self, Hooks};
use flumed::{agent, registry};

fn main() -> std::process::ExitCode {
    let args = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let hooks = Hooks { catalog: registry::catalog(), agent_declared: &agent::DECLARED, run: agent::run };
    cli::main(args, &hooks).into()
}
