//! `job list|show|wait|cancel|logs`: jobs that run or ran.

use clap::Subcommand;
use futures::StreamExt;
use serde_json::json;
use shardmill_common::ids::JobId;
use shardmill_common::status::{JobState, JobStatus};
use shardmill_common::units::show_count;

use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use crate::{jobs, session};
use shardmill_client::Client;
use shardmill_flows::text;

use super::common::{PageArgs, remark};
use super::{job_logs, job_show};

#[derive(Clone, Debug, Subcommand)]
pub enum JobCommand {
    /// List the jobs, newest first
    List(PageArgs),
    /// Show where a job stands or how it went, stage by stage
    Show {
        /// The job, such as j12
        job: JobId,
    },
    /// Wait until a job is over; the exit status is that of the job
    Wait {
        /// The job, such as j12
        job: JobId,
    },
    /// Stop a job; nothing of it is published
    Cancel {
        /// The job, such as j12
        job: JobId,
    },
    /// Print what the programs of a job wrote to standard error, and why attempts failed
    Logs(job_logs::Logs),
}

impl JobCommand {
    pub async fn run(self, context: &Context) -> Result<(), CliError> {
        session::with(context, async |s| match self {
            JobCommand::List(page) => list(context, &s.client, &page).await,
            JobCommand::Show { job } => show(context, &find(&s.client, job).await?),
            JobCommand::Logs(logs) => logs.run(context, &s.client).await,
            JobCommand::Wait { job } => {
                let status = jobs::follow(context, &s.client, job, false).await?;
                end(context, status)
            }
            JobCommand::Cancel { job } => {
                s.client.cancel(job).await?;
                let status = jobs::follow(context, &s.client, job, false).await?;
                show(context, &status)
            }
        })
        .await
    }
}

async fn find(client: &Client, job: JobId) -> Result<JobStatus, CliError> {
    let statuses = client.watch(job).await?;
    tokio::pin!(statuses);
    match statuses.next().await {
        Some(status) => Ok(status?),
        None => Err(CliError::failed(format!("the coordinator says nothing of job {job}"))),
    }
}

fn end(context: &Context, status: JobStatus) -> Result<(), CliError> {
    if status.state != JobState::Done {
        return Err(CliError::Job(Box::new(status)));
    }
    show(context, &status)
}

async fn list(context: &Context, client: &Client, args: &PageArgs) -> Result<(), CliError> {
    let page = client.jobs(args.page()).await?;
    let all: Vec<_> = page.items.iter().map(|s| jobs::to_json(s, jobs::seconds_of(s))).collect();
    let object = json!({"jobs": all, "damaged": page.damaged, "next": page.next});
    context.out.result(object, || {
        let mut table = Table::new(&["job", "kind", "state", "output", ">rows", "submitted", ">time", "who"]);
        for s in &page.items {
            table.row([
                s.job.to_string(),
                s.kind.clone(),
                s.state.name().to_owned(),
                match (&s.dataset, &s.model) {
                    (Some(dataset), _) => dataset.to_string(),
                    (None, Some(model)) => format!("model {model}"),
                    (None, None) => String::new(),
                },
                s.rows.map(show_count).unwrap_or_default(),
                s.submitted.to_string(),
                text::seconds(jobs::seconds_of(s)),
                s.who.clone(),
            ]);
        }
        table
    })?;
    remark(context, &page);
    Ok(())
}

fn show(context: &Context, status: &JobStatus) -> Result<(), CliError> {
    let seconds = jobs::seconds_of(status);
    context.out.result(job_show::to_json(status, seconds), || jobs::to_table(status, seconds))?;
    if let Some(table) = job_show::stages(status) {
        context.out.line(&table.to_string())?;
    }
    for line in job_show::remarks(status) {
        context.out.line(&line)?;
    }
    for notice in &status.notices {
        context.out.notice(notice);
    }
    Ok(())
}
