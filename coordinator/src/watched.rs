//! What was watched of endpoints, read beside the driver: it only says where to read.

use std::collections::HashMap;

use shardmill_common::endpoint::{EndpointName, EndpointStatus, Watched};
use shardmill_common::failure::Refusal;
use shardmill_common::model::{Model, ModelRef};
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Every, WatchReport, Window, WindowReport};

use crate::driver::Handle;
use crate::windows::merged;

/// Windows, and the models they are of; of those that were removed there is none.
type Read = (Vec<Window>, HashMap<ModelRef, Model>);

/// The windows that reach into so many seconds back, of one endpoint or of all; with `whole`, all of a variant's as one.
async fn read(
    handle: &Handle,
    endpoint: Option<EndpointName>,
    seconds: u64,
    every: Every,
    whole: bool,
) -> Result<Read, Refusal> {
    let reader = handle.ask(|d| Ok(d.watching())).await?;
    let back = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let since = every.start(Timestamp(Timestamp::now().0.saturating_sub(back)));
    let windows = tokio::task::spawn_blocking(move || {
        let windows = reader.read(every, since, endpoint.as_ref())?;
        Ok::<_, crate::journal::JournalError>(if whole { merged(windows) } else { windows })
    });
    let windows = windows.await.map_err(|e| Refusal::Internal(e.to_string()))?;
    let windows = windows.map_err(|e| Refusal::Internal(format!("the journal: {e}")))?;
    let mut references: Vec<ModelRef> = Vec::new();
    for window in &windows {
        if !references.contains(&window.model) {
            references.push(window.model.clone());
        }
    }
    let models = handle.ask(move |d| Ok(d.models_of(&references))).await?;
    Ok((windows, models.into_iter().map(|m| (m.reference(), m)).collect()))
}

/// What was seen in so many seconds of each variant that was asked, all endpoints or one.
pub async fn reports(
    handle: &Handle,
    endpoint: Option<EndpointName>,
    seconds: u64,
) -> Result<Vec<(EndpointName, WatchReport)>, Refusal> {
    let (windows, models) = read(handle, endpoint, seconds, Every::reaching(seconds), true).await?;
    let reports = windows.into_iter().map(|Window { endpoint, variant, model, tally, .. }| {
        let known = models.get(&model);
        (endpoint, WatchReport::new(Watched { variant, model, tally }, known))
    });
    Ok(reports.collect())
}

/// An endpoint with what was seen of it in so many seconds.
pub async fn status(handle: &Handle, name: EndpointName, seconds: u64) -> Result<EndpointStatus, Refusal> {
    let wanted = name.clone();
    let mut status = handle.ask(move |d| d.endpoint(&wanted)).await?;
    if seconds == 0 {
        return Ok(status);
    }
    let mut reports = reports(handle, Some(name), seconds).await?;
    // Those that answer now come first, in their order; then those that did.
    let now = |report: &WatchReport| {
        let variants = &status.endpoint.variants;
        variants.iter().position(|v| v.name == report.watched.variant && v.model == report.watched.model)
    };
    reports.sort_by_key(|(_, report)| now(report).unwrap_or(usize::MAX));
    status.watched = reports.into_iter().map(|(_, report)| report).collect();
    Ok(status)
}

/// What was seen in so many seconds, window by window.
pub async fn series(
    handle: &Handle,
    name: EndpointName,
    seconds: u64,
    every: Every,
) -> Result<Vec<WindowReport>, Refusal> {
    let (windows, models) = read(handle, Some(name.clone()), seconds, every, false).await?;
    if windows.is_empty() {
        // An endpoint that is gone has what it left; one that never was has nothing to say.
        handle.ask(move |d| d.endpoint(&name)).await?;
    }
    Ok(windows.iter().map(|window| WindowReport::new(window, models.get(&window.model))).collect())
}
