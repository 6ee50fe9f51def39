//! The process: flumed with its own components.

fn main() -> std::process::ExitCode {
    flumed::Flumed::new().main()
}
