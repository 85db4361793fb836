//! The `shardmill` command, built for the tests.

fn main() -> std::process::ExitCode {
    shardmill::cli::main()
}
