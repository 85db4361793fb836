//! Finished jobs and records, read from the journal page by page, beside the driver.

use shardmill_common::failure::Refusal;
use shardmill_common::ids::JobId;
use shardmill_common::message::{DamagedEntry, Page, Paged};
use shardmill_common::record::Record;
use shardmill_common::status::JobStatus;
use shardmill_core::rows::Table;
use shardmill_core::tables::{Finished, Records};

use crate::driver::Handle;
use crate::journal::{JournalError, Read, Reader};

/// Bytes of rows in one page, at most: less than a message may have.
const PAGE_BYTES: usize = 16 << 20;
/// Entries of a page where none are said, and at most.
const PAGE: u32 = 1000;
const LARGEST_PAGE: u32 = 10_000;

fn failed(e: JournalError) -> Refusal {
    Refusal::Internal(format!("the journal: {e}"))
}

async fn beside<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, Refusal> {
    let read = tokio::task::spawn_blocking(read).await;
    read.map_err(|e| Refusal::Internal(e.to_string()))?.map_err(failed)
}

/// A page of what was read (one entry more than wanted, if there is one).
fn paged<T: Table<Key = JobId>>(read: Vec<Read<T>>, limit: usize, cut: bool) -> Paged<T::Value> {
    let more = read.len() > limit || cut;
    let mut page = Paged { items: Vec::new(), damaged: Vec::new(), next: None };
    for (job, value) in read.into_iter().take(limit) {
        page.next = Some(job);
        match value {
            Ok(value) => page.items.push(value),
            Err(why) => page.damaged.push(DamagedEntry { job, why: why.to_string() }),
        }
    }
    page.next = page.next.filter(|_| more);
    page
}

/// The newest rows of a page, one more than wanted, and whether there were too many bytes for all.
fn read<T: Table<Key = JobId>>(
    reader: &Reader,
    before: Option<JobId>,
    limit: usize,
) -> Result<(Vec<Read<T>>, bool), JournalError> {
    let read = reader.newest::<T>(before.as_ref(), limit + 1, PAGE_BYTES)?;
    let last = read.last().map(|(job, _)| *job);
    let cut = read.len() <= limit && last.is_some() && !reader.newest::<T>(last.as_ref(), 1, 0)?.is_empty();
    Ok((read, cut))
}

/// Records, the newest first.
pub async fn records(handle: &Handle, page: Page) -> Result<Paged<Record>, Refusal> {
    let reader = handle.ask(|d| Ok(d.reader())).await?;
    let limit = page.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE) as usize;
    let (read, cut) = beside(move || read::<Records>(&reader, page.before, limit)).await?;
    Ok(paged::<Records>(read, limit, cut))
}

/// The record of one job.
pub async fn record(handle: &Handle, job: JobId) -> Result<Record, Refusal> {
    let reader = handle.ask(|d| Ok(d.reader())).await?;
    match beside(move || reader.get::<Records>(&job)).await? {
        Some(Ok(record)) => Ok(record),
        Some(Err(why)) => Err(Refusal::Internal(format!("the record of job {job} is damaged: {why}"))),
        None => Err(Refusal::NotFound(format!("there is no record of job {job}"))),
    }
}

/// Jobs, the newest first: those under way and those that are over.
pub async fn jobs(handle: &Handle, page: Page) -> Result<Paged<JobStatus>, Refusal> {
    let (reader, mut running) = handle.ask(|d| Ok((d.reader(), d.core().running_jobs()))).await?;
    running.retain(|status| page.before.is_none_or(|before| status.job < before));
    let limit = page.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE) as usize;
    let (mut read, cut) = beside(move || read::<Finished>(&reader, page.before, limit)).await?;
    // One that ended meanwhile is over.
    running.retain(|status| !read.iter().any(|(job, _)| *job == status.job));
    if let Some((oldest, _)) = read.last().filter(|_| cut || read.len() > limit) {
        running.retain(|status| status.job > *oldest);
    }
    read.extend(running.into_iter().map(|status| (status.job, Ok(status))));
    read.sort_by_key(|(job, _)| std::cmp::Reverse(*job));
    Ok(paged::<Finished>(read, limit, cut))
}
