//! The `shardmill` command, built for the tests.

use std::alloc::System;

use shardmill_worker::backend::EndsWhenFull;

#[global_allocator]
static ALLOCATOR: EndsWhenFull<System> = EndsWhenFull(System);

fn main() -> std::process::ExitCode {
    shardmill::cli::main()
}
