//! The `shardmill` program. Everything it does is in the library, so that the tests can wrap it in a binary of their own.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use shardmill_worker::backend::EndsWhenFull;

#[global_allocator]
static ALLOCATOR: EndsWhenFull<MiMalloc> = EndsWhenFull(MiMalloc);

fn main() -> ExitCode {
    shardmill::cli::main()
}
