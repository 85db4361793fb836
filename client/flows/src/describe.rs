//! What a dataset's columns hold: counts, means, quantiles, the shape of the numbers and the most frequent values, from one
//! aggregation and two questions in SQL.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use serde::Serialize;
use shardmill_common::kinds::JobSpec;
use shardmill_common::kinds::aggregate::{Aggregate, AggregateSpec, Function};
use shardmill_common::name::DatasetRef;
use shardmill_common::schema::{DataType, Field, Schema};

use crate::error::FlowError;
use crate::export::Cells;
use crate::host::{Host, or_stopped};
use crate::jobs;
use crate::query::{Bounds, prepare};
use crate::read::Reader;
use crate::session::Session;
use crate::temporary::Temporary;

/// Bars of the picture of a column of numbers.
const BARS: usize = 12;
/// Values of a column that are shown as its most frequent.
const TOP: u64 = 3;
/// Columns that one question is about.
const COLUMNS_AT_ONCE: usize = 16;
/// A column of more different values, nearly one a row, has none that is frequent.
const MANY: u64 = 1000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    pub dataset: DatasetRef,
    pub rows: u64,
    pub columns: Vec<Profile>,
}

/// What a column holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Profile {
    pub column: String,
    #[serde(rename = "type")]
    pub dtype: Option<DataType>,
    pub nulls: u64,
    /// About so many different values (HyperLogLog, with a standard error of 1.2 %).
    pub distinct: u64,
    pub min: Option<String>,
    pub max: Option<String>,
    pub mean: Option<f64>,
    pub stddev: Option<f64>,
    /// At a quarter, a half and three quarters of the sorted numbers.
    pub quartiles: Option<[f64; 3]>,
    /// How many numbers are in each of so many parts of equal width between the least and the greatest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub histogram: Vec<u64>,
    /// The most frequent values and how often they come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, u64)>,
}

/// Describes some columns of a dataset, or all.
pub async fn describe(
    host: &dyn Host,
    session: &Session,
    dataset: &DatasetRef,
    wanted: Option<&[String]>,
    temporary: &mut Temporary,
) -> Result<Description, FlowError> {
    let located = or_stopped(host, async { Ok(session.client.locate(dataset).await?) }).await?;
    let manifest = located.manifest;
    let mut schema = manifest.schema.clone().published();
    if let Some(wanted) = wanted {
        if let Some(absent) = wanted.iter().find(|name| schema.get(name).is_none()) {
            let (column, dataset, schema) = (absent.clone(), manifest.reference(), Box::new(schema));
            return Err(crate::query::QueryError::NoColumn { column, dataset, schema }.into());
        }
        schema.fields.retain(|f| wanted.contains(&f.name));
    }
    let (dataset, rows) = (manifest.reference(), manifest.rows());
    let mut columns = summaries(host, session, &dataset, &schema, rows, temporary).await?;
    histograms(host, session, &dataset, &mut columns, temporary).await?;
    frequent(host, session, &dataset, rows, &mut columns, temporary).await?;
    Ok(Description { dataset, rows, columns })
}

/// What is asked of a column, by the name that it has in the answer.
fn asked(field: &Field) -> Vec<(&'static str, Function)> {
    let mut all = vec![("n", Function::Count), ("d", Function::ApproxDistinct)];
    if field.dtype != DataType::Binary {
        all.extend([("min", Function::Min), ("max", Function::Max)]);
    }
    if field.dtype.is_numeric() {
        all.extend([("mean", Function::Mean), ("std", Function::StdDev)]);
        all.extend([
            ("q1", Function::Quantile(0.25)),
            ("q2", Function::Quantile(0.5)),
            ("q3", Function::Quantile(0.75)),
        ]);
    }
    all
}

async fn summaries(
    host: &dyn Host,
    session: &Session,
    dataset: &DatasetRef,
    schema: &Schema,
    rows: u64,
    temporary: &mut Temporary,
) -> Result<Vec<Profile>, FlowError> {
    let named = |at: usize, what: &str| format!("{what}{at}");
    let of = |(at, field): (usize, &Field)| {
        let column = field.name.clone();
        asked(field).into_iter().map(move |(what, function)| Aggregate {
            name: named(at, what),
            function,
            column: Some(column.clone()),
        })
    };
    let aggregates: Vec<Aggregate> = schema.fields.iter().enumerate().flat_map(of).collect();
    let output = temporary.name("summary")?;
    let spec = AggregateSpec { input: dataset.clone(), output, by: Vec::new(), aggregates, replicas: Some(1) };
    let status = jobs::run(host, &session.client, JobSpec::Aggregate(spec)).await?;
    let answer = answer_of(host, session, status.dataset).await?;
    let cell = |at: usize, what: &str| text_at(&answer, &named(at, what), 0);
    let number = |at: usize, what: &str| cell(at, what)?.parse::<f64>().ok();
    let whole = |at: usize, what: &str| cell(at, what).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let profile = |(at, field): (usize, &Field)| Profile {
        column: field.name.clone(),
        dtype: Some(field.dtype),
        nulls: rows.saturating_sub(whole(at, "n")),
        distinct: whole(at, "d"),
        min: cell(at, "min"),
        max: cell(at, "max"),
        mean: number(at, "mean"),
        stddev: number(at, "std"),
        quartiles: number(at, "q1").zip(number(at, "q2")).zip(number(at, "q3")).map(|((a, b), c)| [a, b, c]),
        ..Profile::default()
    };
    Ok(schema.fields.iter().enumerate().map(profile).collect())
}

/// Counts how many numbers are below each edge, which tells how many are between two.
async fn histograms(
    host: &dyn Host,
    session: &Session,
    dataset: &DatasetRef,
    columns: &mut [Profile],
    temporary: &mut Temporary,
) -> Result<(), FlowError> {
    let bounds = |profile: &Profile| {
        let low: f64 = profile.min.as_ref()?.parse().ok()?;
        let high: f64 = profile.max.as_ref()?.parse().ok()?;
        let numeric = profile.dtype.is_some_and(DataType::is_numeric);
        (numeric && (high - low).is_finite() && low < high).then_some((low, high))
    };
    let drawn: Vec<(usize, (f64, f64))> =
        columns.iter().enumerate().filter_map(|(at, profile)| Some((at, bounds(profile)?))).collect();
    for some in drawn.chunks(COLUMNS_AT_ONCE) {
        let mut counts = Vec::with_capacity(some.len() * BARS);
        for (at, (low, high)) in some {
            let Some(profile) = columns.get(*at) else { continue };
            let value = format!("CAST({} AS DOUBLE)", quoted(&profile.column));
            for bar in 1..BARS {
                let edge = low + (high - low) * (bar as f64 / BARS as f64);
                counts.push(format!("COUNT(*) FILTER (WHERE {value} < {edge:e}) AS b{at}_{bar}"));
            }
            counts.push(format!("COUNT(*) FILTER (WHERE {value} <= {high:e}) AS b{at}_{BARS}"));
        }
        let statement = format!("SELECT {} FROM {}", counts.join(", "), quoted(&dataset.to_string()));
        let answer = ask(host, session, &statement, temporary).await?;
        for (at, _) in some {
            let below =
                |bar: usize| text_at(&answer, &format!("b{at}_{bar}"), 0).and_then(|text| text.parse::<u64>().ok());
            let mut before = 0;
            let bars = (1..=BARS).map(|bar| {
                let below = below(bar).unwrap_or(before);
                let here = below.saturating_sub(before);
                before = below;
                here
            });
            let bars = bars.collect();
            if let Some(profile) = columns.get_mut(*at) {
                profile.histogram = bars;
            }
        }
    }
    Ok(())
}

async fn frequent(
    host: &dyn Host,
    session: &Session,
    dataset: &DatasetRef,
    rows: u64,
    columns: &mut [Profile],
    temporary: &mut Temporary,
) -> Result<(), FlowError> {
    // Numbers and times of many values have a shape rather than frequent ones.
    let has_frequent = |profile: &Profile| {
        let discrete = matches!(profile.dtype, Some(DataType::String | DataType::Boolean));
        profile.dtype != Some(DataType::Binary)
            && profile.distinct > 0
            && profile.distinct <= MANY.max(rows / 2)
            && (discrete || profile.distinct <= 20)
    };
    let told: Vec<usize> = (0..columns.len()).filter(|at| columns.get(*at).is_some_and(has_frequent)).collect();
    for some in told.chunks(COLUMNS_AT_ONCE) {
        let of = |at: &usize| {
            let column = quoted(&columns.get(*at)?.column);
            Some(format!(
                "SELECT * FROM (SELECT {at} AS c, CAST({column} AS VARCHAR) AS v, COUNT(*) AS n FROM {} WHERE {column} IS NOT NULL \
                 GROUP BY {column} ORDER BY n DESC, v LIMIT {TOP})",
                quoted(&dataset.to_string())
            ))
        };
        let parts: Vec<String> = some.iter().filter_map(of).collect();
        let statement = format!("SELECT * FROM ({}) ORDER BY c, n DESC, v", parts.join(" UNION ALL "));
        let answer = ask(host, session, &statement, temporary).await?;
        for row in 0..answer.iter().map(RecordBatch::num_rows).sum() {
            let cell = |name: &str| text_at(&answer, name, row);
            let place = cell("c").and_then(|text| text.parse::<usize>().ok());
            if let (Some(profile), Some(value), Some(n)) =
                (place.and_then(|at| columns.get_mut(at)), cell("v"), cell("n").and_then(|n| n.parse::<u64>().ok()))
                // Where nothing comes twice, nothing is frequent.
                && n > u64::from(profile.distinct > 1)
            {
                profile.top.push((value, n));
            }
        }
    }
    Ok(())
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn ask(
    host: &dyn Host,
    session: &Session,
    statement: &str,
    temporary: &mut Temporary,
) -> Result<Vec<RecordBatch>, FlowError> {
    let question = prepare(host, session, statement, temporary).await?;
    let output = temporary.name("answer")?;
    let status = question.answer(host, session, output, Bounds { replicas: Some(1), ..Bounds::default() }).await?;
    answer_of(host, session, status.dataset).await
}

/// All rows of a small dataset.
async fn answer_of(
    host: &dyn Host,
    session: &Session,
    dataset: Option<DatasetRef>,
) -> Result<Vec<RecordBatch>, FlowError> {
    let Some(dataset) = dataset else { return Ok(Vec::new()) };
    or_stopped(host, async {
        let located = Arc::new(session.client.locate(&dataset).await?);
        let mut reader = Reader::new(session.client.clone(), located, 0, u64::MAX);
        let mut batches = Vec::new();
        while let Some(mut shard) = reader.next_shard() {
            while let Some(batch) = shard.next_batch().await {
                batches.push(batch?);
            }
        }
        Ok(batches)
    })
    .await
}

/// A cell as text; nothing, where it is null or not there.
fn text_at(batches: &[RecordBatch], column: &str, row: usize) -> Option<String> {
    let mut row = row;
    for batch in batches {
        if row < batch.num_rows() {
            let cells = Cells::of(batch.column_by_name(column)?.as_ref());
            let mut text = Vec::new();
            return (!cells.is_null(row)).then(|| {
                cells.write(row, &mut text);
                String::from_utf8_lossy(&text).into_owned()
            });
        }
        row -= batch.num_rows();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};

    #[test]
    fn cells_are_found_across_batches() {
        let batch = |values: Vec<Option<i64>>| {
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as ArrayRef)]).unwrap()
        };
        let batches = [batch(vec![Some(1)]), batch(vec![]), batch(vec![None, Some(3)])];
        let at = |row| text_at(&batches, "n", row);
        assert_eq!((at(0), at(1), at(2), at(3)), (Some("1".into()), None, Some("3".into()), None));
        assert_eq!(text_at(&batches, "m", 0), None);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a \"b\""), "\"a \"\"b\"\"\"");
    }
}
