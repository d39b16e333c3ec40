//! The process: hands the arguments to the command line and its answer to the operating system.

#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
