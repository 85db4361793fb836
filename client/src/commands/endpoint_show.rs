//! `endpoint show`: who serves an endpoint, what it was asked and answered, and how far its inputs have drifted.

use clap::Args;
use serde_json::json;
use shardmill_common::endpoint::{EndpointName, EndpointRequest, EndpointStatus};
use shardmill_common::units::show_count;
use shardmill_common::watch::{ErrorKind, FeatureDrift, PredictionShare, Tally, WatchReport};

use super::endpoint::endpoint_name;
use super::model_text::short;
use crate::cli::Context;
use crate::error::CliError;
use crate::table::Table;
use shardmill_client::Client;
use shardmill_flows::text::{class_name, to_the_second};

/// Features that are listed: those that moved most.
const FEATURES: usize = 20;
/// Predictions that are listed of a variant: the most frequent.
const PREDICTIONS: usize = 5;
/// Of fewer rows the index is large by chance.
const FEW_ROWS: u64 = 500;

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    #[arg(value_parser = endpoint_name)]
    name: EndpointName,
    /// How far to look back: a number and s, m, h or d; up to 3h by the minute, and up to 90d by the hour
    #[arg(long, env = "SHARDMILL_SINCE", value_name = "TIME", default_value = "1h", value_parser = span)]
    since: u64,
}

/// `90s`, `15m`, `1h` or `30d` in seconds.
pub fn span(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is no stretch of time, such as 15m, 1h or 7d", text.escape_debug());
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).and_then(|n| n.parse::<u64>().ok()).filter(|n| *n > 0);
    number.and_then(|n| n.checked_mul(seconds)).ok_or_else(wrong)
}

/// A number of seconds the way it is asked for.
fn spoken(seconds: u64) -> String {
    let (n, unit) = [(24 * 3600, "d"), (3600, "h"), (60, "m")]
        .into_iter()
        .find(|(size, _)| seconds.is_multiple_of(*size))
        .map_or((seconds, "s"), |(size, unit)| (seconds / size, unit));
    format!("{n}{unit}")
}

pub async fn run(context: &Context, client: &Client, args: ShowArgs) -> Result<(), CliError> {
    let ask = EndpointRequest::Show { name: args.name, seconds: args.since };
    let status: EndpointStatus = client.endpoints(&ask).await?;
    context.out.result(
        json!({
            "endpoint": status.endpoint, "nodes": status.nodes, "seconds": args.since, "watched": status.watched,
        }),
        || about(&status),
    )?;
    if context.out.json {
        return Ok(());
    }
    context.out.line(&variants(&status).to_string())?;
    let since = spoken(args.since);
    if status.watched.is_empty() {
        return context.out.line(&format!("nothing was asked in the last {since}"));
    }
    for report in status.watched.iter().filter(|r| r.watched.tally.rows > 0) {
        let name = format!("{} ({})", report.watched.variant, report.watched.model);
        if !report.has_baseline {
            context.out.line(&format!(
                "{name}: drift is not measured, since the model does not know how its features were distributed in training"
            ))?;
        }
        if report.drift.is_empty() {
            continue;
        }
        context.out.line(&format!("features of {name}, the one that moved most first, in the last {since}:"))?;
        context.out.line(&features(&report.drift).to_string())?;
        if report.drift.len() > FEATURES {
            context.out.line(&format!("and {} more; --json has all", report.drift.len() - FEATURES))?;
        }
        if report.has_baseline && report.watched.tally.rows < FEW_ROWS {
            context.out.line(&format!(
                "psi of {} rows is large by chance: it says something of {FEW_ROWS} or more",
                show_count(report.watched.tally.rows)
            ))?;
        }
    }
    Ok(())
}

fn about(status: &EndpointStatus) -> Table {
    let endpoint = &status.endpoint;
    let mut table = Table::pairs();
    table.pair("endpoint", format!("{}{}", endpoint.name, if endpoint.is_default { " (default)" } else { "" }));
    let url = |n: &shardmill_common::endpoint::ServingNode| {
        let behind = if n.revision < endpoint.revision { ", still as before the last change" } else { "" };
        format!("{} at {} (revision {}{behind})", n.node, n.url, n.revision)
    };
    for (n, node) in status.nodes.iter().enumerate() {
        table.pair(if n == 0 { "served by" } else { "" }, url(node));
    }
    if status.nodes.is_empty() {
        table.pair("served by", "no process");
    }
    table.pair("revision", endpoint.revision.to_string());
    if let Some(capture) = &endpoint.capture {
        table.pair("captured in", format!("{}, {} of the requests", capture.dataset, capture.rate));
    }
    table.pair("created", to_the_second(endpoint.created));
    table.pair("updated", to_the_second(endpoint.updated));
    table
}

/// `17 (12 bad_row, 5 queue_full)`.
fn errors(tally: &Tally) -> String {
    let kinds = ErrorKind::ALL.iter().filter_map(|kind| Some((kind, *tally.errors.get(kind)?)));
    let kinds: Vec<String> = kinds.map(|(kind, n)| format!("{} {}", show_count(n), kind.name())).collect();
    if kinds.is_empty() { "0".into() } else { format!("{} ({})", show_count(tally.failed()), kinds.join(", ")) }
}

/// Seconds as milliseconds.
pub fn millis(seconds: Option<f64>) -> String {
    seconds.map(|s| format!("{} ms", short_millis(s * 1000.0))).unwrap_or_default()
}

fn short_millis(ms: f64) -> String {
    if ms < 10.0 { format!("{ms:.2}") } else { format!("{ms:.0}") }
}

pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `no 61.2 %, yes 38.8 %`.
fn predictions(shares: &[PredictionShare]) -> String {
    let mut shown: Vec<&PredictionShare> = shares.iter().collect();
    if shown.len() > PREDICTIONS {
        shown.sort_by_key(|s| std::cmp::Reverse(s.rows));
        shown.truncate(PREDICTIONS);
    }
    let mut texts: Vec<String> =
        shown.iter().map(|s| format!("{} {}", class_name(&s.value), percent(s.share))).collect();
    if shares.len() > PREDICTIONS {
        texts.push("…".into());
    }
    texts.join(", ")
}

/// The variants that answer now, asked or not, and those that did.
fn variants(status: &EndpointStatus) -> Table {
    let endpoint = &status.endpoint;
    let headers = [
        "variant",
        "model",
        ">weight",
        ">share",
        ">requests",
        ">rows",
        ">errors",
        ">mean",
        ">p50",
        ">p99",
        "predictions",
        ">mean prediction",
    ];
    let mut table = Table::new(&headers);
    let mut row = |name: &str, model: String, weight: [String; 2], report: Option<&WatchReport>| {
        let tally = report.map(|r| &r.watched.tally);
        let latency = report.and_then(|r| r.latency);
        table.row([
            name.to_owned(),
            model,
            weight[0].clone(),
            weight[1].clone(),
            show_count(tally.map_or(0, |t| t.requests)),
            show_count(tally.map_or(0, |t| t.rows)),
            tally.map_or("0".into(), errors),
            millis(latency.map(|l| l.mean)),
            millis(latency.map(|l| l.p50)),
            millis(latency.map(|l| l.p99)),
            report.map(|r| predictions(&r.predictions)).unwrap_or_default(),
            report.and_then(|r| r.mean_prediction).map(short).unwrap_or_default(),
        ]);
    };
    let is_now =
        |r: &WatchReport| endpoint.variants.iter().any(|v| v.name == r.watched.variant && v.model == r.watched.model);
    for variant in &endpoint.variants {
        let of = |r: &&WatchReport| r.watched.variant == variant.name && r.watched.model == variant.model;
        let weight = [variant.weight.to_string(), percent(endpoint.share(variant))];
        row(&variant.name, variant.model.to_string(), weight, status.watched.iter().find(of));
    }
    for report in status.watched.iter().filter(|r| !is_now(r)) {
        let weight = ["gone".to_owned(), String::new()];
        row(&report.watched.variant, report.watched.model.to_string(), weight, Some(report));
    }
    table
}

fn features(drift: &[FeatureDrift]) -> Table {
    let mut table = Table::new(&["feature", ">psi", "reading", ">missing", ">missing in training", ">unseen"]);
    for feature in drift.iter().take(FEATURES) {
        table.row([
            feature.feature.clone(),
            feature.psi.map_or_else(|| "not measured".into(), |psi| format!("{psi:.4}")),
            feature.psi.map(reading).unwrap_or_default().to_owned(),
            percent(feature.missing),
            feature.training_missing.map(percent).unwrap_or_default(),
            feature.unseen.map(percent).unwrap_or_default(),
        ]);
    }
    table
}

/// The usual reading of the index.
fn reading(psi: f64) -> &'static str {
    match psi {
        p if p < 0.1 => "stable",
        p if p <= 0.25 => "moderate shift",
        _ => "large shift",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_time_are_read_and_spoken() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604_800)] {
            assert_eq!(span(text), Ok(seconds));
            assert_eq!(span(&spoken(seconds)), Ok(seconds));
        }
        for bad in ["", "h", "1", "0h", "-1h", "1.5h", "1w", "9999999999999999999d", "é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_are_told_by_kind() {
        let mut tally = Tally::default();
        assert_eq!(errors(&tally), "0");
        tally.errors.insert(ErrorKind::QueueFull, 5);
        tally.errors.insert(ErrorKind::BadRow, 1200);
        assert_eq!(errors(&tally), format!("{} ({} bad_row, 5 queue_full)", show_count(1205), show_count(1200)));
    }

    #[test]
    fn the_most_frequent_predictions_are_shown() {
        let share = |value: &str, rows: u64| PredictionShare { value: value.into(), rows, share: rows as f64 / 100.0 };
        assert_eq!(predictions(&[share("no", 60), share("yes", 40)]), "no 60.0 %, yes 40.0 %");
        let many: Vec<PredictionShare> = (0..8).map(|n| share(&n.to_string(), n)).collect();
        assert!(predictions(&many).starts_with("7 7.0 %, 6 6.0 %") && predictions(&many).ends_with("3 3.0 %, …"));
    }

    #[test]
    fn the_reading_is_the_usual_one() {
        assert_eq!(
            [0.0999, 0.1, 0.25, 0.2501].map(reading),
            ["stable", "moderate shift", "moderate shift", "large shift"]
        );
    }
}
