//! flumed with components of Acme's: its own commands and configurations, and theirs may name these too.

mod lines;
mod loadavg;
mod mask;
mod netstring;
mod queue;
mod stdout;
mod tsv;

use flumed::Flumed;

fn main() -> std::process::ExitCode {
    acme().main()
}

fn acme() -> Flumed {
    Flumed::new()
        .source(&loadavg::SPEC)
        .source(&netstring::SPEC)
        .http_handler(&lines::SPEC)
        .interceptor(&mask::SPEC)
        .channel(&queue::SPEC)
        .sink(&stdout::SPEC)
        .serializer(&tsv::SPEC)
}
