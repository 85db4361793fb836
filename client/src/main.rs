//! The `shardmill` program. Everything it does is in the library, so that the tests can wrap it in a binary of their own.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    shardmill::cli::main()
}
