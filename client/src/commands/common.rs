//! Arguments that several verbs share, and the checks that go with them.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use shardmill_common::ids::JobId;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::dedup::{DedupOptions, Keep};
use shardmill_common::lists;
use shardmill_common::message::{Page, Paged};
use shardmill_common::model::ModelName;
use shardmill_common::name::{NameError, Named};
use shardmill_common::rules::RuleSet;
use shardmill_coordinator::{Keep as History, Retention};
use shardmill_serving::node::Limits;

use crate::cli::Context;
use crate::error::CliError;
use crate::jobs::Order;

/// Which of several equal rows stays.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KeepArg {
    /// The one that came first: source order, then line
    First,
    /// The one that came last
    Last,
    /// None of them
    None,
}

impl From<KeepArg> for Keep {
    fn from(keep: KeepArg) -> Self {
        match keep {
            KeepArg::First => Keep::First,
            KeepArg::Last => Keep::Last,
            KeepArg::None => Keep::None,
        }
    }
}

/// How duplicates are recognised, and which one stays.
#[derive(Clone, Debug, Args)]
pub struct DedupOptionsArgs {
    /// Columns that make rows the same; without it, whole rows must be equal
    #[arg(long, env = "SHARDMILL_DEDUP_KEYS", value_name = "A,B", value_delimiter = ',')]
    pub keys: Option<Vec<String>>,
    /// Which of several equal rows stays
    #[arg(long, env = "SHARDMILL_DEDUP_KEEP", value_enum, default_value = "first")]
    pub keep: KeepArg,
}

impl DedupOptionsArgs {
    pub fn options(&self) -> Result<DedupOptions, CliError> {
        Ok(DedupOptions { keys: columns("--keys", self.keys.as_deref())?, keep: self.keep.into() })
    }
}

/// Copies of what a job makes.
#[derive(Clone, Debug, Args)]
pub struct ReplicasArg {
    /// Copies to keep of each shard, on distinct workers [default: 2 on two workers or more, 1 inside this process]
    #[arg(long, env = "SHARDMILL_REPLICAS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub replicas: Option<u32>,
}

/// Nothing runs.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DryRunArg {
    /// Check everything and show what would be done, stage by stage, without doing it
    #[arg(long, env = "SHARDMILL_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,
}

impl DryRunArg {
    /// What `explain` gives the verb it explains.
    pub const ON: Self = Self { dry_run: true };

    pub const fn is_on(self) -> bool {
        self.dry_run
    }

    /// What to hand to [`crate::jobs::run`].
    pub const fn of(self, spec: JobSpec) -> Order {
        Order { spec, dry_run: self.dry_run }
    }
}

/// Checks a model's name.
pub fn model_name(text: &str) -> Result<ModelName, NameError> {
    ModelName::of(Named::Model, text)
}

/// A list of columns as the user gave it: no blanks, no repeats. Given several times, or cut at every comma, it is one list.
pub fn columns(option: &str, given: Option<&[String]>) -> Result<Option<Vec<String>>, CliError> {
    let Some(given) = given else { return Ok(None) };
    let names: Vec<String> = lists::parts(&given.join(",")).into_iter().map(lists::name).collect();
    for (at, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(CliError::usage(format!("{option}: a column name is empty; write {option} a,b")));
        }
        if names[..at].contains(name) {
            return Err(CliError::usage(format!("{option}: column `{name}` is named twice")));
        }
    }
    Ok(Some(names))
}

/// `_x,_y`: exactly two, and not the same.
pub fn suffixes(text: &str) -> Result<(String, String), CliError> {
    match text.split_once(',') {
        Some((left, right)) if !right.contains(',') && left != right => Ok((left.to_owned(), right.to_owned())),
        _ => Err(CliError::usage(format!("--suffixes: `{text}` is not two different suffixes; write them as _x,_y"))),
    }
}

/// Reads a rule file; mistakes in it are told with their line.
pub fn rules(path: &Path) -> Result<RuleSet, CliError> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| CliError::usage(format!("cannot read the rule file {shown}: {e}")))?;
    let text =
        String::from_utf8(bytes).map_err(|_| CliError::usage(format!("the rule file {shown} is not UTF-8 text")))?;
    let rules = RuleSet::parse(&text, &shown).map_err(|e| CliError::usage(e.to_string()))?;
    // SQL and time zones are the engine's to judge.
    shardmill_worker::clean::check(&rules.rules).map_err(CliError::usage)?;
    Ok(rules)
}

/// `host:port` or `1.2.3.4:port`.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next())
        .ok_or_else(|| format!("`{text}` is not an address: write it as host:port, such as 127.0.0.1:7077"))
}

/// Other machines are let in only where the operator says so: this version speaks plain text.
pub fn check_exposure(address: SocketAddr, insecure: bool, token: Option<&str>) -> Result<(), CliError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    if !insecure {
        return Err(CliError::usage(format!(
            "{address} can be reached from other machines, and TLS is not in this version: on a trusted network add --insecure, \
             and set a token with --token or SHARDMILL_TOKEN"
        )));
    }
    if token.is_none() {
        tracing::warn!(%address, "listening without a token: anyone who can reach this port can read and remove data");
    }
    Ok(())
}

/// Which part of a list is shown.
#[derive(Clone, Debug, clap::Args)]
pub struct PageArgs {
    /// Show so many at most
    #[arg(long, env = "SHARDMILL_LIMIT", value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Show what is older than this job, such as j12
    #[arg(long, env = "SHARDMILL_BEFORE", value_name = "JOB")]
    before: Option<JobId>,
}

impl PageArgs {
    pub fn page(&self) -> Page {
        Page { before: self.before, limit: Some(self.limit) }
    }
}

/// Tells of entries that cannot be read, and where the list goes on.
pub fn remark<T>(context: &Context, page: &Paged<T>) {
    for damaged in &page.damaged {
        context.out.notice(&format!("what is kept of {} is damaged and left out: {}", damaged.job, damaged.why));
    }
    if let Some(next) = page.next {
        context.out.hint(&format!("there are older ones: --before {next}"));
    }
}

/// How much of its history a coordinator keeps.
#[derive(Clone, Debug, clap::Args)]
pub struct RetentionArgs {
    /// Finished jobs that are kept, with their logs: so many (1000), for so long (90d), or `all`
    #[arg(long, env = "SHARDMILL_KEEP_JOBS", value_name = "N|AGE", default_value = "10000")]
    keep_jobs: History,
    /// Records that are kept: so many, for so long (90d), or `all`
    #[arg(long, env = "SHARDMILL_KEEP_RECORDS", value_name = "N|AGE", default_value = "all")]
    keep_records: History,
}

impl RetentionArgs {
    pub fn retention(&self) -> Retention {
        Retention { jobs: self.keep_jobs, records: self.keep_records }
    }
}

/// What a process that answers requests to endpoints takes on at once.
#[derive(Clone, Debug, clap::Args)]
pub struct ServingArgs {
    /// Requests to endpoints that may wait here or be under way; those beyond get status 429
    #[arg(long, env = "SHARDMILL_QUEUE", value_name = "N", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queue: u32,
    /// Connections to the HTTP port that may be open; those beyond get status 503
    #[arg(long, env = "SHARDMILL_CONNECTIONS", value_name = "N", default_value_t = 16_384,
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
}

impl ServingArgs {
    pub fn limits(&self) -> Limits {
        Limits { queue: self.queue as usize, connections: self.connections as usize, ..Limits::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_neither_blank_nor_repeated() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(columns("--on", None).unwrap(), None);
        assert_eq!(columns("--on", Some(&list(&["a", " b"]))).unwrap(), Some(list(&["a", "b"])));
        assert_eq!(columns("--on", Some(&list(&["\"a", " b\""]))).unwrap(), Some(list(&["a, b"])));
        assert!(columns("--on", Some(&list(&["a", ""]))).is_err());
        assert!(columns("--on", Some(&list(&["a", "a"]))).is_err());
    }

    #[test]
    fn suffixes_are_two_and_differ() {
        assert_eq!(suffixes("_old,_new").unwrap(), ("_old".to_owned(), "_new".to_owned()));
        assert_eq!(suffixes(",_y").unwrap(), (String::new(), "_y".to_owned()));
        for bad in ["", "_x", "_x,_x", "a,b,c"] {
            assert!(suffixes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_machines_need_leave() {
        let open = address("0.0.0.0:7077").unwrap();
        assert_eq!(check_exposure(open, false, Some("x")).unwrap_err().exit_status(), 2);
        check_exposure(open, true, None).unwrap();
        check_exposure(address("127.0.0.1:0").unwrap(), false, None).unwrap();
        assert!(address("nonsense").is_err());
    }
}
