//! `job logs`: what the programs of a job wrote to standard error, and why attempts failed.

use clap::Args;
use serde_json::json;
use shardmill_common::ids::JobId;
use shardmill_common::status::AttemptLog;
use shardmill_common::units::{show_bytes, show_count};

use crate::cli::Context;
use crate::error::CliError;
use shardmill_client::Client;
use shardmill_flows::text;

#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// The job, such as j12
    job: JobId,
    /// Only this stage, or this task of it: `1`, `1/17`, `reduce` or `reduce/17`
    #[arg(long, value_name = "STAGE/TASK", env = "SHARDMILL_TASK")]
    task: Option<Which>,
    /// Only attempts that failed
    #[arg(long, env = "SHARDMILL_FAILED")]
    failed: bool,
}

/// A stage by its number or name, and maybe a task of it.
#[derive(Clone, Debug, PartialEq)]
struct Which {
    stage: String,
    task: Option<u32>,
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((stage, task)) = text.rsplit_once('/') else {
            return Ok(Self { stage: text.to_owned(), task: None });
        };
        match task.parse() {
            Ok(task) => Ok(Self { stage: stage.to_owned(), task: Some(task) }),
            Err(_) => Err(format!("`{task}` is not the number of a task: write it as `reduce/17`")),
        }
    }
}

impl Which {
    fn is(&self, log: &AttemptLog) -> bool {
        (self.stage == log.stage_name || self.stage == log.stage.to_string())
            && self.task.is_none_or(|task| task == log.task)
    }
}

impl Logs {
    pub async fn run(self, context: &Context, client: &Client) -> Result<(), CliError> {
        let mut logs = client.logs(self.job).await?;
        let all = logs.attempts.len();
        logs.attempts
            .retain(|log| self.task.as_ref().is_none_or(|which| which.is(log)) && (!self.failed || log.failed));
        // Together what belongs together; attempts of a task in the order in which they ended.
        logs.attempts.sort_by_key(|log| (log.stage, log.task));
        for log in &logs.attempts {
            context.out.line(&header(log))?;
            // Text with tabs stays readable; what could steer the terminal does not get there.
            let said = if log.text.is_empty() { log.why.as_deref().unwrap_or_default() } else { &log.text };
            let body = text::escape_lines(&said.replace('\t', "    "));
            if !body.is_empty() {
                context.out.line(&body)?;
            }
        }
        if context.out.json {
            context.out.object(&json!({
                "job": self.job,
                "attempts": logs.attempts,
                "left_out": logs.left_out,
                "left_out_bytes": logs.left_out_bytes,
            }))?;
        }
        if logs.attempts.is_empty() {
            context.out.notice(&match all {
                0 => format!("no attempt of job {} wrote to standard error or failed", self.job),
                n => format!("none of the {} logs of job {} is of that kind", show_count(n as u64), self.job),
            });
        }
        if logs.left_out > 0 {
            let (n, bytes) = (show_count(logs.left_out), show_bytes(logs.left_out_bytes));
            context
                .out
                .notice(&format!("the logs of {n} more attempts ({bytes}) were left out: a job's logs are bounded"));
        }
        Ok(())
    }
}

fn header(log: &AttemptLog) -> String {
    let why = match (&log.why, log.failed) {
        // What follows of it is what the program wrote, which is shown below.
        (Some(why), _) => format!(", failed: {}", text::escape(why.lines().next().unwrap_or_default())),
        (None, true) => ", failed".to_owned(),
        (None, false) => String::new(),
    };
    let stage = text::escape(&log.stage_name);
    let when = text::to_the_second(log.ended);
    format!("--- {stage}/{}, attempt {}, worker {}, {when}{why}", log.task, log.attempt, log.worker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::ids::WorkerId;
    use shardmill_common::time::Timestamp;

    #[test]
    fn a_task_is_found_by_its_stages_number_or_name() {
        let log = AttemptLog {
            stage: 1,
            stage_name: "find duplicates".into(),
            task: 17,
            attempt: 2,
            worker: WorkerId::fresh(),
            ended: Timestamp(0),
            failed: true,
            why: Some("exit status 1".into()),
            text: String::new(),
        };
        for yes in ["1", "1/17", "find duplicates", "find duplicates/17"] {
            assert!(yes.parse::<Which>().unwrap().is(&log), "{yes}");
        }
        for no in ["2", "1/16", "find", "17"] {
            assert!(!no.parse::<Which>().unwrap().is(&log), "{no}");
        }
        assert!("map/x".parse::<Which>().unwrap_err().contains("`x`"));
        assert!(header(&log).starts_with("--- find duplicates/17, attempt 2, worker "));
        assert!(header(&log).ends_with(", failed: exit status 1"));
    }
}
