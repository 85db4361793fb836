//! The command line: options that every command knows, the list of verbs, and the exit status.
//!
//! Every option has an environment variable, so that a container or a unit file can set it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser};

use crate::commands::Command;
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::output::{Output, failed_object};

/// Turns a few machines into a MapReduce cluster for data: ingest, clean, deduplicate, compare, export.
///
/// With no --cluster, a command runs a whole cluster inside its own process over --data-dir and exits when it is done.
#[derive(Debug, Parser)]
#[command(name = "shardmill", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The coordinator to talk to, as http://host:port; without it, a cluster runs inside this process
    #[arg(long, global = true, env = "SHARDMILL_CLUSTER", value_name = "URL")]
    pub cluster: Option<String>,
    /// The cluster's shared secret
    #[arg(long, global = true, env = "SHARDMILL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The folder that holds everything [default: ./shardmill-data]
    #[arg(long, global = true, env = "SHARDMILL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Workers of the cluster inside this process
    #[arg(long, global = true, env = "SHARDMILL_WORKERS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: u32,
    /// Tasks that a worker runs at once [default: its share of the cores, and one more]
    #[arg(long, global = true, env = "SHARDMILL_SLOTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub slots: Option<u32>,
    /// Memory that the tasks of a worker may use together, such as 2GiB [default: its share of three fifths of the machine's]
    #[arg(long, global = true, env = "SHARDMILL_MEMORY", value_name = "BYTES", value_parser = parse_memory)]
    pub memory: Option<u64>,
    /// Print exactly one JSON object on standard output
    #[arg(long, global = true, env = "SHARDMILL_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true, env = "SHARDMILL_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// Show no progress bar
    #[arg(long, global = true, env = "SHARDMILL_NO_PROGRESS", value_parser = FalseyValueParser::new())]
    pub no_progress: bool,
}

impl Global {
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("shardmill-data"))
    }
}

fn parse_memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 64 << 20;
    let bytes = shardmill_common::units::parse_bytes(text).map_err(|e| e.to_string())?;
    if bytes < LEAST { Err(format!("`{text}` is too little: a worker needs at least 64MiB")) } else { Ok(bytes) }
}

/// What a running command has at hand.
pub struct Context {
    pub global: Global,
    pub out: Output,
    pub interrupt: Interrupt,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // That must not depend on anything here.
    shardmill_worker::become_helper(std::env::args_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return not_understood(&e),
    };
    let out = Output::new(cli.global.json, cli.global.quiet, !cli.global.no_progress);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let error = CliError::failed(format!("cannot start threads: {e}"));
            out.error(&error);
            return error.exit_status().into();
        }
    };
    let status = runtime.block_on(async {
        let context = Context { global: cli.global, out, interrupt: Interrupt::listen() };
        match cli.command.run(&context).await {
            Ok(()) => 0,
            Err(error) => {
                context.out.error(&error);
                error.exit_status()
            }
        }
    });
    // A read of standard input that never ends must not keep the process alive.
    runtime.shutdown_background();
    status.into()
}

/// Help and versions go to standard output; mistakes to standard error and, where `--json` was asked for, also into an object.
fn not_understood(error: &clap::Error) -> ExitCode {
    let by_variable =
        std::env::var("SHARDMILL_JSON").is_ok_and(|v| !matches!(v.as_str(), "" | "0" | "false" | "no" | "off"));
    // What could not be parsed cannot be asked, so the arguments are looked through as they are.
    let json = by_variable || std::env::args_os().any(|a| a == "--json");
    // Nobody is left to tell where standard error is closed.
    let _ = error.print();
    if error.use_stderr() && json {
        let told = CliError::usage(first_paragraph(&error.to_string()));
        let _ = Output::new(true, true, false).object(&failed_object(&told, 0.0));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The message without advice and usage: names that are missing, and values that are possible, stand on lines of their own.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn walk(command: &clap::Command, path: &str) {
        for arg in command.get_arguments().filter(|a| !a.is_positional()) {
            let id = arg.get_id().as_str();
            if matches!(id, "help" | "version") {
                continue;
            }
            let env = arg.get_env().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            assert!(env.starts_with("SHARDMILL_"), "{path} --{id} has no environment variable");
            assert!(arg.get_help().is_some(), "{path} --{id} has no help");
        }
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()));
        }
    }

    #[test]
    fn every_option_has_an_environment_variable() {
        let command = Cli::command();
        command.clone().debug_assert();
        walk(&command, "shardmill");
    }

    #[test]
    fn programs_are_told_all_of_what_is_missing() {
        let error = Cli::try_parse_from(["shardmill", "train", "logistic", "d"]).unwrap_err();
        let told = first_paragraph(&error.to_string());
        assert!(told.starts_with("the following required") && told.ends_with("--label <COLUMN>"), "{told}");
        assert!(told.contains("--model <NAME>"), "{told}");
        let error = Cli::try_parse_from(["shardmill", "dedup", "a", "b", "--keep", "some"]).unwrap_err();
        let wanted = "invalid value 'some' for '--keep <KEEP>' [possible values: first, last, none]";
        assert_eq!(first_paragraph(&error.to_string()), wanted);
    }

    #[test]
    fn memory_must_be_enough_to_work_with() {
        assert_eq!(parse_memory("2GiB"), Ok(2 << 30));
        assert!(parse_memory("1").is_err());
        assert!(parse_memory("lots").is_err());
    }
}
