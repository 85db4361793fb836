//! Drift over the last hour as Prometheus reads it: gauges of the whole cluster, since no node alone sees all requests.

use std::fmt::Write;

use shardmill_common::failure::Refusal;
use shardmill_serving::metrics::{Escaped, head, labels};

use crate::driver::Handle;
use crate::watched;

/// What the gauges look back on.
const SECONDS: u64 = 3600;

/// The gauges of all variants that answered in the last hour; nothing where none did.
pub async fn render(handle: &Handle) -> Result<String, Refusal> {
    let mut text = String::new();
    let reports = watched::reports(handle, None, SECONDS).await?;
    let asked = || reports.iter().filter(|(_, report)| report.watched.tally.rows > 0);
    let name = "shardmill_endpoint_drift_rows";
    if asked().next().is_some() {
        head(&mut text, name, "gauge", "Rows of the last hour that drift is measured on.");
    }
    for (endpoint, report) in asked() {
        let labels = labels(endpoint, &report.watched.variant, &report.watched.model);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}{{{labels}}} {}", report.watched.tally.rows);
    }
    let name = "shardmill_endpoint_feature_psi";
    let mut begun = false;
    for (endpoint, report) in asked() {
        let labels = labels(endpoint, &report.watched.variant, &report.watched.model);
        for drift in &report.drift {
            let Some(psi) = drift.psi else { continue };
            if !std::mem::replace(&mut begun, true) {
                let help = "Population stability index of a feature in the last hour against the training data.";
                head(&mut text, name, "gauge", help);
            }
            let _ = writeln!(text, "{name}{{{labels},feature=\"{}\"}} {psi:?}", Escaped(&drift.feature));
        }
    }
    Ok(text)
}
