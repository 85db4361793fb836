//! The stages of a job as a picture: what is done, what it read and shuffled, and which task is slow or large.

use serde_json::{Value, json};
use shardmill_common::status::{JobStatus, StageStatus};
use shardmill_common::units::{show_bytes, show_count};

use crate::jobs;
use crate::table::Table;
use shardmill_flows::text;

/// Characters of a bar.
const BAR: u64 = 12;
/// Times below this, in seconds, are not compared.
const WHIM: f64 = 0.1;
/// An attempt that runs for so long is named.
const LONG: f64 = 10.0;

/// A column: its header, and what it says of a stage. One that says nothing of any stage is left out.
type Column = (&'static str, fn(&StageStatus) -> String);

const COLUMNS: [Column; 9] = [
    ("stage", |s| s.name.clone()),
    ("tasks done", |s| format!("{} {}", bar(s), progress(s))),
    (">rows", |s| shown(s.rows, show_count)),
    (">shuffled", |s| shown(s.shuffled, show_bytes)),
    (">spilled", |s| shown(s.spilled, show_bytes)),
    (">tried again", |s| shown(s.retried, show_count)),
    (">task time", |s| if s.seconds > 0.0 { text::seconds(s.seconds) } else { String::new() }),
    (">slowest task", slowest),
    (">largest task", largest),
];

fn shown(n: u64, how: fn(u64) -> String) -> String {
    if n == 0 { String::new() } else { how(n) }
}

/// Done, running and waiting tasks, to scale; what is not done never looks as if it were.
fn bar(stage: &StageStatus) -> String {
    let cells = |n: u64| (n * BAR).checked_div(stage.tasks).unwrap_or(0);
    let done = if stage.done == stage.tasks { BAR } else { cells(stage.done) };
    let running = cells(stage.done + stage.running).clamp(done, BAR) - done;
    let running = if stage.running > 0 && running == 0 && done < BAR { 1 } else { running };
    let waiting = BAR - done - running;
    ["█".repeat(done as usize), "▒".repeat(running as usize), "·".repeat(waiting as usize)].concat()
}

fn progress(stage: &StageStatus) -> String {
    let of = format!("{} of {}", show_count(stage.done), show_count(stage.tasks));
    if stage.running == 0 { of } else { format!("{of}, {} running", show_count(stage.running)) }
}

fn times(skew: Option<f64>) -> String {
    skew.map(|s| format!(", {s:.1}x")).unwrap_or_default()
}

/// Differences between times as short as a machine's whims say nothing.
fn time_skew(stage: &StageStatus) -> Option<f64> {
    stage.time_skew().filter(|_| stage.slowest.is_some_and(|(_, seconds)| seconds >= WHIM))
}

fn slowest(stage: &StageStatus) -> String {
    let Some((task, seconds)) = stage.slowest.filter(|_| stage.tasks > 1) else { return String::new() };
    format!("{task}: {}{}", text::seconds(seconds), times(time_skew(stage)))
}

fn largest(stage: &StageStatus) -> String {
    let Some((task, rows)) = stage.largest.filter(|(_, rows)| *rows > 0 && stage.tasks > 1) else {
        return String::new();
    };
    format!("{task}: {} rows{}", show_count(rows), times(stage.row_skew()))
}

/// The stages; `None` where there are none.
pub fn stages(status: &JobStatus) -> Option<Table> {
    if status.stages.is_empty() {
        return None;
    }
    let said = |(_, cell): &&Column| status.stages.iter().any(|s| !cell(s).is_empty());
    let columns: Vec<&Column> = COLUMNS.iter().filter(said).collect();
    let headers: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    let mut table = Table::new(&headers);
    for stage in &status.stages {
        table.row(columns.iter().map(|(_, cell)| cell(stage)));
    }
    Some(table)
}

/// What the table has no room for: how to read it, which attempt has run for long, what a program says of itself.
pub fn remarks(status: &JobStatus) -> Vec<String> {
    let mut lines = Vec::new();
    if status.stages.iter().any(|s| s.tasks > 1 && time_skew(s).or(s.row_skew()).is_some()) {
        lines.push("x: times the mean of the stage's tasks".to_owned());
    }
    for stage in status.stages.iter().filter(|_| !status.state.is_final()) {
        let name = text::escape(&stage.name);
        if let Some((task, seconds, worker)) = stage.oldest.filter(|(_, seconds, _)| *seconds >= LONG) {
            lines.push(format!("{name}: task {task} has run for {} on worker {worker}", text::seconds(seconds)));
        }
        if let Some(said) = &stage.status {
            lines.push(format!("{name} says: {}", text::clip(&text::escape(said), 200)));
        }
    }
    lines
}

/// The job's object with its stages.
pub fn to_json(status: &JobStatus, seconds: f64) -> Value {
    let mut object = jobs::to_json(status, seconds);
    let round = |skew: Option<f64>| skew.map(|s| (s * 100.0).round() / 100.0);
    let stages: Vec<Value> = status
        .stages
        .iter()
        .map(|s| {
            json!({
                "name": s.name,
                "tasks": s.tasks,
                "running": s.running,
                "done": s.done,
                "retried": s.retried,
                "rows": s.rows,
                "shuffled": s.shuffled,
                "spilled": s.spilled,
                "seconds": text::round(s.seconds),
                "slowest": s.slowest.map(|(task, seconds)| json!({"task": task, "seconds": text::round(seconds)})),
                "largest": s.largest.map(|(task, rows)| json!({"task": task, "rows": rows})),
                "skew": {"seconds": round(s.time_skew()), "rows": round(s.row_skew())},
                "oldest": s.oldest.map(|(task, seconds, worker)| {
                    json!({"task": task, "seconds": text::round(seconds), "worker": worker})
                }),
                "status": s.status,
            })
        })
        .collect();
    if let Value::Object(map) = &mut object {
        map.insert("kind".to_owned(), status.kind.clone().into());
        map.insert("who".to_owned(), status.who.clone().into());
        map.insert("submitted".to_owned(), status.submitted.to_string().into());
        map.insert("stages".to_owned(), stages.into());
        map.insert("notices".to_owned(), json!(status.notices));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(tasks: u64, running: u64, done: u64) -> StageStatus {
        StageStatus { name: "map".into(), tasks, running, done, ..Default::default() }
    }

    #[test]
    fn a_bar_is_full_only_when_all_is_done() {
        assert_eq!(bar(&stage(4, 0, 4)), "█".repeat(12));
        assert_eq!(bar(&stage(1000, 1, 999)), format!("{}▒", "█".repeat(11)));
        assert_eq!(bar(&stage(1000, 0, 999)), format!("{}·", "█".repeat(11)));
        assert_eq!(bar(&stage(4, 2, 1)), format!("{}{}{}", "█".repeat(3), "▒".repeat(6), "·".repeat(3)));
        assert_eq!(bar(&stage(100_000, 4, 0)), format!("▒{}", "·".repeat(11)));
        assert_eq!(bar(&stage(0, 0, 0)), "█".repeat(12));
    }

    #[test]
    fn skew_is_told_against_the_mean() {
        let seconds = 10.0;
        let s = StageStatus { rows: 100, seconds, slowest: Some((7, 4.0)), largest: Some((3, 50)), ..stage(10, 0, 10) };
        assert_eq!(slowest(&s), "7: 4.00 s, 4.0x");
        assert_eq!(largest(&s), "3: 50 rows, 5.0x");
        let alone = StageStatus { rows: 100, seconds, slowest: Some((0, 10.0)), ..stage(1, 0, 1) };
        assert_eq!((slowest(&alone), largest(&alone)), (String::new(), String::new()));
    }
}
