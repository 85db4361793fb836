//! `endpoint metrics`: what was watched over time, a line for every window of each variant.

use clap::Args;
use serde_json::json;
use shardmill_common::endpoint::{EndpointName, EndpointRequest};
use shardmill_common::units::show_count;
use shardmill_common::watch::{Every, WindowReport};

use super::endpoint::endpoint_name;
use super::endpoint_show::{millis, percent, span};
use super::model_text::short;
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;
use shardmill_flows::text::to_the_second;

#[derive(Clone, Debug, Args)]
pub struct MetricsArgs {
    #[arg(value_parser = endpoint_name)]
    name: EndpointName,
    /// How far to look back: a number and s, m, h or d
    #[arg(long, env = "SHARDMILL_SINCE", value_name = "TIME", default_value = "24h", value_parser = span)]
    since: u64,
    /// Length of the windows: 1m, kept for 3 hours, or 1h, kept for 90 days
    #[arg(long, env = "SHARDMILL_EVERY", value_name = "TIME", default_value = "1h")]
    every: Every,
}

pub async fn run(context: &Context, client: &Client, args: MetricsArgs) -> Result<(), CliError> {
    let MetricsArgs { name, since, every } = args;
    let ask = EndpointRequest::Windows { name: name.clone(), seconds: since, every };
    let windows: Vec<WindowReport> = client.endpoints(&ask).await?;
    if windows.is_empty() {
        context.out.notice("nothing was asked in that time");
    } else if since > every.kept() {
        context.out.notice(&format!("windows of {every} are kept for {} hours", every.kept() / 3600));
    }
    context
        .out
        .result(json!({"endpoint": name, "seconds": since, "every": every.seconds(), "windows": windows}), || {
            table(&windows)
        })
}

fn table(windows: &[WindowReport]) -> Table {
    let headers = [
        "start",
        "variant",
        "model",
        ">requests",
        ">rows",
        ">errors",
        ">mean latency",
        ">positive",
        ">mean prediction",
        ">max psi",
        "feature",
    ];
    let mut table = Table::new(&headers);
    for window in windows {
        table.row([
            to_the_second(window.start),
            window.variant.clone(),
            window.model.to_string(),
            show_count(window.requests),
            show_count(window.rows),
            show_count(window.errors.values().sum()),
            millis(window.latency.map(|l| l.mean)),
            window.positive_share.map(percent).unwrap_or_default(),
            window.mean_prediction.map(short).unwrap_or_default(),
            window.max_psi.map_or_else(|| "not measured".into(), |psi| format!("{psi:.4}")),
            window.max_psi_feature.clone().unwrap_or_default(),
        ]);
    }
    table
}
