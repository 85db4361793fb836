//! A shard's raw columns before training.

use polars::prelude::DataFrame;
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::train::{LabelKind, ProfileTask};
use shardmill_common::model::{CategoryCounts, LabelProfile, Moments, NumericProfile, Packed, Profile};
use shardmill_common::task::TaskOutput;
use shardmill_common::watch::{Sample, sampled_row};

use super::Context;
use crate::origin::Origin;
use crate::train::rows::{self, original};
use crate::train::{Distinct, MISSING, gather};

/// Values whose moments are taken at once, in two passes over a near cache.
const BLOCK: usize = 1024;
/// A label of more values is a number or a name, not a class.
const MOST_CLASSES: usize = 10_000;

pub fn run(context: &Context, task: &ProfileTask) -> Result<TaskOutput, Failure> {
    let mut columns: Vec<String> =
        task.numeric.iter().chain(task.categorical.iter()).chain(task.required.iter()).cloned().collect();
    columns.extend(task.label.as_ref().map(label_column).cloned());
    columns.extend(task.weight_column.clone());
    let frame = context.open_columns(&task.input, &task.schema, Some(&rows::each_once(columns)))?;
    let mut output = TaskOutput::default();
    output.counters.add(Counter::RowsIn, frame.height() as u64);
    let profile = profile(frame, task, &|| context.check())?;
    output.and_reports::<ProfileTask>(&profile)
}

fn label_column(label: &LabelKind) -> &String {
    match label {
        LabelKind::Class(column) | LabelKind::Number(column) => column,
    }
}

/// Places, among the rows that training uses, of those that are sampled: `all` rows of the dataset begin at `first_row`, of which
/// `used` are left (`None`: all).
fn sampled(first_row: u64, all: usize, used: Option<&[u32]>, every: u64) -> Vec<u32> {
    if every == 0 {
        return Vec::new();
    }
    let end = first_row + all as u64;
    let rows = (first_row / every..).map(|block| sampled_row(block, every)).take_while(|row| *row < end);
    let rows = rows.filter_map(|row| u32::try_from(row.checked_sub(first_row)?).ok());
    match used {
        None => rows.collect(),
        Some(used) => rows.filter_map(|row| used.binary_search(&row).ok()).map(|place| place as u32).collect(),
    }
}

fn profile(frame: DataFrame, task: &ProfileTask, check: &dyn Fn() -> Result<(), Failure>) -> Result<Profile, Failure> {
    let all = frame.height();
    let mut left_out = vec![false; all];
    if let Some(label) = &task.label {
        rows::mark_missing(rows::column(&frame, label_column(label))?, &mut left_out)?;
    }
    let count = |left_out: &[bool]| left_out.iter().filter(|out| **out).count() as u64;
    let rows_without_label = count(&left_out);
    for name in &task.required {
        rows::mark_missing(rows::column(&frame, name)?, &mut left_out)?;
    }
    let rows_with_missing = count(&left_out) - rows_without_label;
    let (frame, used) = rows::without(frame, &left_out)?;
    let chosen = sampled(task.first_row, all, used.as_deref(), task.sample_every);
    let mut sample = Sample { rows: chosen.len() as u64, ..Default::default() };
    let origin = Origin { source: &task.source_name, first_row: task.first_row };
    let fault = |row: usize, what: String| origin.fault(original(used.as_deref(), row), what);
    let weights = match &task.weight_column {
        None => None,
        Some(name) => {
            let weights = rows::numbers(&frame, name, "weight")?;
            rows::check_weights(name, weights.values(), fault)?;
            Some(weights)
        }
    };
    let weights = weights.as_ref().map(|w| w.values());
    let label = match &task.label {
        None => LabelProfile::None,
        Some(LabelKind::Class(name)) => LabelProfile::Classes(classes(&frame, name, weights)?),
        Some(LabelKind::Number(name)) => {
            let numbers = rows::numbers(&frame, name, "label")?;
            rows::check_finite("label", name, numbers.values(), fault)?;
            let found = moments(numbers.values());
            check_size(name, found)?;
            sample.label = Packed(gather(numbers.values(), &chosen));
            LabelProfile::Number(found)
        }
    };
    let mut numeric = Vec::with_capacity(task.numeric.len());
    for name in &task.numeric {
        check()?;
        let numbers = rows::numbers(&frame, name, "column")?;
        rows::check_finite("column", name, numbers.values(), fault)?;
        let found = numeric_profile(numbers.values());
        check_size(name, found.moments)?;
        numeric.push(found);
        sample.numeric.push(Packed(gather(numbers.values(), &chosen)));
    }
    let mut categorical = Vec::with_capacity(task.categorical.len());
    for name in &task.categorical {
        check()?;
        categorical.push(category_counts(&frame, name, task.max_categories)?);
    }
    Ok(Profile {
        rows: frame.height() as u64,
        rows_without_label,
        rows_with_missing,
        weight: weights.map_or(frame.height() as f64, sum),
        numeric,
        categorical,
        label,
        sample: (task.sample_every > 0).then_some(sample),
    })
}

/// In blocks, which keeps more digits than one long sum.
fn sum(values: &[f64]) -> f64 {
    values.chunks(BLOCK).map(|block| block.iter().sum::<f64>()).sum()
}

/// Of the values that are not NaN.
fn moments(values: &[f64]) -> Moments {
    values.chunks(BLOCK).fold(Moments::default(), |all, block| {
        let (mut count, mut total) = (0.0, 0.0);
        for x in block {
            count += if x.is_nan() { 0.0 } else { 1.0 };
            total += if x.is_nan() { 0.0 } else { *x };
        }
        if count == 0.0 {
            return all;
        }
        let mean = total / count;
        let (mut deviation, mut squares) = (0.0, 0.0);
        for x in block {
            let off = if x.is_nan() { 0.0 } else { x - mean };
            deviation += off;
            squares += off * off;
        }
        // What the first mean missed by rounding.
        let mean = mean + deviation / count;
        all.merge(Moments { count, mean, squares: (squares - deviation * deviation / count).max(0.0) })
    })
}

/// The squares of a column's values must be numbers, or its variance is none.
fn check_size(name: &str, moments: Moments) -> Result<(), Failure> {
    if moments.mean.is_finite() && moments.squares.is_finite() {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "column `{name}` has values too large to compute with: the sum of their squares is beyond 1.8e308; divide it by a large \
         number in a cleaning rule"
    )))
}

fn numeric_profile(values: &[f64]) -> NumericProfile {
    let (mut min, mut max, mut missing) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for x in values {
        // A NaN is neither below nor above.
        min = if *x < min { *x } else { min };
        max = if *x > max { *x } else { max };
        missing += u64::from(x.is_nan());
    }
    let any = missing < values.len() as u64;
    NumericProfile { moments: moments(values), missing, min: any.then_some(min), max: any.then_some(max) }
}

fn category_counts(frame: &DataFrame, name: &str, limit: u64) -> Result<CategoryCounts, Failure> {
    let column = rows::column(frame, name)?;
    let mut missing = vec![false; column.len()];
    rows::mark_missing(column, &mut missing)?;
    let missing = missing.iter().filter(|m| **m).count() as u64;
    let Some(distinct) = Distinct::of(column, usize::try_from(limit).unwrap_or(usize::MAX))? else {
        return Ok(CategoryCounts { values: Vec::new(), missing, too_many: true });
    };
    let mut counts = vec![0u64; distinct.len()];
    for row in distinct.rows.iter().filter(|row| **row != MISSING) {
        if let Some(count) = counts.get_mut(*row as usize) {
            *count += 1;
        }
    }
    let order = distinct.order();
    let texts = distinct.category_texts(None)?;
    let values = order
        .into_iter()
        .filter_map(|n| Some((texts.get(n as usize)?.clone(), counts.get(n as usize).copied()?)))
        .collect();
    Ok(CategoryCounts { values, missing, too_many: false })
}

type ClassCounts = Vec<(shardmill_common::model::ClassValue, u64, f64)>;

fn classes(frame: &DataFrame, name: &str, weights: Option<&[f64]>) -> Result<ClassCounts, Failure> {
    let Some((values, numbers)) = rows::classes(rows::column(frame, name)?, MOST_CLASSES)? else {
        return Err(Failure::bad_input(format!(
            "label `{name}` has more than {MOST_CLASSES} different values, too many for classes; `linear` learns a number"
        )));
    };
    let mut out: ClassCounts = values.into_iter().map(|value| (value, 0, 0.0)).collect();
    for (row, number) in numbers.iter().enumerate() {
        if let Some((_, count, weight)) = out.get_mut(*number as usize) {
            *count += 1;
            *weight += weights.and_then(|w| w.get(row)).copied().unwrap_or(1.0);
        }
    }
    out.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;
    use shardmill_common::model::ClassValue;
    use shardmill_common::schema::Schema;
    use shardmill_common::task::{ShardInput, ShardRef};

    fn task() -> ProfileTask {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>().into();
        ProfileTask {
            input: ShardInput { shard: ShardRef::Made { stage: 0, task: 0, part: 0 }, ordinal: 0 },
            schema: Schema::new(Vec::new()).into(),
            label: Some(LabelKind::Class("y".into())),
            weight_column: Some("w".into()),
            numeric: owned(&["x", "n"]),
            categorical: owned(&["city"]),
            required: owned(&["n"]),
            max_categories: 3,
            sample_every: 0,
            source_name: "sales".into(),
            first_row: 10,
        }
    }

    fn frame() -> DataFrame {
        df!(
            "y" => [Some(1i64), Some(0), None, Some(1), Some(1)],
            "w" => [Some(2.0), Some(0.5), None, Some(-1.0), Some(4.0)],
            "x" => [Some(1.5), None, Some(9.0), Some(f64::INFINITY), Some(f64::NAN)],
            "n" => [Some(3i64), Some(5), Some(7), None, Some(10)],
            "city" => [Some("b"), Some("a"), Some("c"), Some("d"), None]
        )
        .unwrap()
    }

    fn message(frame: DataFrame, task: &ProfileTask) -> String {
        profile(frame, task, &|| Ok(())).unwrap_err().to_string()
    }

    #[test]
    fn only_used_rows_count() {
        let found = profile(frame(), &task(), &|| Ok(())).unwrap();
        assert_eq!((found.rows, found.rows_without_label, found.rows_with_missing), (3, 1, 1));
        assert_eq!(found.weight, 6.5);
        let one = Moments { count: 1.0, mean: 1.5, squares: 0.0 };
        assert_eq!(found.numeric[0], NumericProfile { moments: one, missing: 2, min: Some(1.5), max: Some(1.5) });
        assert_eq!(found.numeric[1].moments, Moments { count: 3.0, mean: 6.0, squares: 26.0 });
        let values = vec![("a".to_owned(), 1), ("b".to_owned(), 1)];
        assert_eq!(found.categorical[0], CategoryCounts { values, missing: 1, too_many: false });
        let classes = vec![(ClassValue::Int64(0), 1, 0.5), (ClassValue::Int64(1), 2, 6.0)];
        assert_eq!(found.label, LabelProfile::Classes(classes));
        let value = serde_json::to_value(&found).unwrap();
        assert_eq!(serde_json::from_value::<Profile>(value).unwrap(), found);
    }

    #[test]
    fn a_sample_is_of_used_rows() {
        let mut all = task();
        (all.weight_column, all.sample_every) = (None, 1);
        (all.numeric, all.label) = (vec!["x".to_owned()].into(), Some(LabelKind::Number("y".into())));
        let sample = profile(frame(), &all, &|| Ok(())).unwrap().sample.unwrap();
        assert_eq!((sample.rows, sample.label.0), (3, vec![1.0, 0.0, 1.0]));
        assert_eq!(sample.numeric[0].0[0], 1.5);
        assert!(sample.numeric[0].0[1..].iter().all(|x| x.is_nan()));
        all.sample_every = 0;
        assert_eq!(profile(frame(), &all, &|| Ok(())).unwrap().sample, None);
    }

    #[test]
    fn a_sample_does_not_depend_on_the_shards() {
        let every = 7;
        let whole: Vec<u64> = sampled(0, 1000, None, every).into_iter().map(u64::from).collect();
        assert!((142..=143).contains(&whole.len()));
        let mut parts = Vec::new();
        for (first, rows) in [(0u64, 3usize), (3, 400), (403, 0), (403, 597)] {
            parts.extend(sampled(first, rows, None, every).into_iter().map(|row| first + u64::from(row)));
        }
        assert_eq!(parts, whole);
        let used: Vec<u32> = (0..1000).filter(|row| row % 3 != 0).collect();
        let places = sampled(0, 1000, Some(&used), every);
        let rows: Vec<u64> = places.iter().map(|place| u64::from(used[*place as usize])).collect();
        assert_eq!(rows, whole.iter().copied().filter(|row| row % 3 != 0).collect::<Vec<_>>());
    }

    #[test]
    fn faults_of_used_rows_are_named() {
        let mut all = task();
        all.required = Vec::new().into();
        assert_eq!(message(frame(), &all), "row 14 of sales: weight `w` is -1; weights are finite and not negative");
        all.weight_column = None;
        assert_eq!(
            message(frame(), &all),
            "row 14 of sales: column `x` is inf: clean it with a rule, or leave the column out"
        );
        all.label = Some(LabelKind::Number("x".into()));
        assert_eq!(
            message(frame(), &all),
            "row 14 of sales: label `x` is inf: clean it with a rule, or leave the column out"
        );
        all.label = Some(LabelKind::Class("x".into()));
        assert!(message(frame(), &all).starts_with("label `x` has the value 1.5; classes are boolean"));
        all.label = Some(LabelKind::Number("city".into()));
        assert!(message(frame(), &all).starts_with("label `city` has the type string"));
    }

    #[test]
    fn too_many_categories_are_told() {
        let mut all = task();
        (all.label, all.weight_column, all.numeric) = (None, None, Vec::new().into());
        all.required = Vec::new().into();
        let found = profile(frame(), &all, &|| Ok(())).unwrap();
        assert!(found.categorical[0].too_many && found.categorical[0].values.is_empty());
        assert_eq!(found.label, LabelProfile::None);
    }

    #[test]
    fn moments_keep_their_digits() {
        let values: Vec<f64> =
            (0..5000).map(|n| if n % 11 == 0 { f64::NAN } else { 1e9 + f64::from(n % 13) / 8.0 }).collect();
        let there: Vec<f64> = values.iter().filter(|x| !x.is_nan()).map(|x| x - 1e9).collect();
        let mean = there.iter().sum::<f64>() / there.len() as f64;
        let squares: f64 = there.iter().map(|x| (x - mean).powi(2)).sum();
        let found = moments(&values);
        assert_eq!(found.count, there.len() as f64);
        assert!((found.mean - 1e9 - mean).abs() < 2e-7);
        assert!((found.squares - squares).abs() < 1e-6 * squares, "{} {squares}", found.squares);
    }
}
