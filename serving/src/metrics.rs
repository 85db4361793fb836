//! What a node counted since it started, as Prometheus reads it (text format 0.0.4).

use std::fmt::{self, Display, Write};

use shardmill_common::endpoint::EndpointName;
use shardmill_common::model::ModelRef;
use shardmill_common::watch::{ErrorKind, FeatureTally, LATENCY_BOUNDS_MICROS, PROBABILITY_BOUNDS, Tally};

use crate::live::Live;
use crate::watch::{Outcome, Recorder};

/// A label's value with what the format wants escaped.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The labels that every metric of a variant has, without braces.
pub fn labels(endpoint: &EndpointName, variant: &str, model: &ModelRef) -> String {
    format!(
        "endpoint=\"{}\",variant=\"{}\",model=\"{}\"",
        Escaped(endpoint.as_str()),
        Escaped(variant),
        Escaped(&model.to_string())
    )
}

/// Begins a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One variant with one model version.
struct Series<'a> {
    labels: String,
    tally: Tally,
    recorder: &'a Recorder,
}

fn sample(out: &mut String, name: &str, labels: &str, value: impl Display) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

/// A histogram's samples. `counts` has one bin more than there are bounds, or as many.
fn histogram(out: &mut String, name: &str, labels: &str, bounds: impl Iterator<Item = f64>, counts: &[u64], sum: f64) {
    let (mut below, mut rest) = (0, counts.iter());
    for bound in bounds {
        below += rest.next().copied().unwrap_or_default();
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound:?}\"}} {below}");
    }
    let all: u64 = counts.iter().sum();
    let _ = writeln!(
        out,
        "{name}_bucket{{{labels},le=\"+Inf\"}} {all}\n{name}_sum{{{labels}}} {sum:?}\n{name}_count{{{labels}}} {all}"
    );
}

/// Writes the metrics of a node's endpoints; nothing before there was any.
pub fn render(live: &Live, out: &mut String) {
    let mut recorders = live.recorders();
    if recorders.is_empty() {
        return;
    }
    recorders
        .sort_by_cached_key(|((endpoint, variant, model), _)| (endpoint.clone(), variant.clone(), model.to_string()));
    let all: Vec<Series<'_>> = recorders
        .iter()
        .map(|((endpoint, variant, model), recorder)| Series {
            labels: labels(endpoint, variant, model),
            tally: recorder.total(),
            recorder,
        })
        .collect();
    counters(&all, out);
    predictions(&all, out);
    features(&all, out);
    let routes = live.routes();
    head(
        out,
        "shardmill_variant_weight",
        "gauge",
        "Weight of a variant; its share is this over the sum of the endpoint's weights.",
    );
    let mut endpoints: Vec<_> = routes.endpoints.values().map(|live| &live.endpoint).collect();
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    for endpoint in endpoints {
        for variant in &endpoint.variants {
            let labels = labels(&endpoint.name, &variant.name, &variant.model);
            sample(out, "shardmill_variant_weight", &labels, variant.weight);
        }
    }
}

fn counters(all: &[Series<'_>], out: &mut String) {
    let mut counter = |name: &str, help: &str, value: fn(&Tally) -> u64| {
        head(out, name, "counter", help);
        all.iter().for_each(|s| sample(out, name, &s.labels, value(&s.tally)));
    };
    counter("shardmill_endpoint_requests_total", "Requests that got predictions.", |t| t.requests);
    counter("shardmill_endpoint_rows_total", "Rows that got predictions.", |t| t.rows);
    counter("shardmill_endpoint_capture_dropped_total", "Rows that were to be captured and could not be.", |t| {
        t.capture_dropped
    });
    let name = "shardmill_endpoint_errors_total";
    head(out, name, "counter", "Requests that got no predictions, by what was wrong.");
    for series in all {
        for kind in ErrorKind::ALL {
            let count = series.tally.errors.get(&kind).copied().unwrap_or_default();
            sample(out, name, &format!("{},kind=\"{}\"", series.labels, kind.name()), count);
        }
    }
    let name = "shardmill_endpoint_latency_seconds";
    head(
        out,
        name,
        "histogram",
        "From the last byte of a request's body to its reply, of requests that got predictions.",
    );
    for Series { labels, tally, .. } in all {
        let bounds = LATENCY_BOUNDS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
        histogram(out, name, labels, bounds, &tally.latency.counts, tally.latency.sum_micros as f64 / 1e6);
    }
}

fn predictions(all: &[Series<'_>], out: &mut String) {
    let is_number = |s: &&Series<'_>| matches!(s.recorder.outcome(), Outcome::Numbers(_));
    if !all.iter().all(|s| is_number(&s)) {
        let name = "shardmill_endpoint_predictions_total";
        head(out, name, "counter", "Rows by predicted class or cluster.");
        for Series { labels, tally, recorder } in all.iter().filter(|s| !is_number(s)) {
            for (n, count) in tally.outcomes.counts.iter().enumerate() {
                let class = match recorder.outcome() {
                    Outcome::Classes(classes) => classes.get(n).cloned().unwrap_or_default(),
                    Outcome::Clusters(_) | Outcome::Numbers(_) => n.to_string(),
                };
                sample(out, name, &format!("{labels},class=\"{}\"", Escaped(&class)), count);
            }
        }
    }
    let has_classes = |s: &&Series<'_>| matches!(s.recorder.outcome(), Outcome::Classes(_));
    if all.iter().any(|s| has_classes(&s)) {
        let name = "shardmill_endpoint_probability";
        let help =
            "Probability of the positive class, the last of two; with more than two classes of the predicted one.";
        head(out, name, "histogram", help);
        for Series { labels, tally, .. } in all.iter().filter(has_classes) {
            let outcomes = &tally.outcomes;
            histogram(out, name, labels, PROBABILITY_BOUNDS.into_iter(), &outcomes.probabilities, outcomes.sum);
        }
    }
    if all.iter().any(|s| is_number(&s)) {
        let name = "shardmill_endpoint_prediction";
        head(
            out,
            name,
            "histogram",
            "Predicted numbers, by the deciles of the label in training where they are known.",
        );
        for Series { labels, tally, recorder } in all.iter().filter(is_number) {
            let Outcome::Numbers(edges) = recorder.outcome() else { continue };
            let counts = if edges.is_empty() { &vec![tally.rows] } else { &tally.outcomes.counts };
            histogram(out, name, labels, edges.iter().copied(), counts, tally.outcomes.sum);
        }
    }
}

fn features(all: &[Series<'_>], out: &mut String) {
    let mut each = |name: &str, help: &str, value: fn(&Series<'_>, usize, &FeatureTally) -> Option<u64>| {
        head(out, name, "counter", help);
        for series in all {
            for (n, (feature, seen)) in series.recorder.features().iter().zip(&series.tally.features).enumerate() {
                if let Some(value) = value(series, n, seen) {
                    sample(out, name, &format!("{},feature=\"{}\"", series.labels, Escaped(feature)), value);
                }
            }
        }
    };
    each("shardmill_endpoint_feature_missing_total", "Rows without a value of a feature.", |_, _, f| Some(f.missing));
    let help = "Rows with a category that training did not see.";
    each("shardmill_endpoint_feature_unseen_total", help, |s, n, f| s.recorder.has_categories(n).then_some(f.unseen));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
