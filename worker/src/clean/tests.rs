//! Tests of cleaning as a whole: each operation, fusion against one rule at a time, and statistics against values worked
//! out by hand.

use std::sync::LazyLock;

use polars::df;
use polars::prelude::{DataFrame, DataType as PolarsType, IntoColumn, NamedFrom, PlSmallStr, Series};
use shardmill_common::counters::Counter;
use shardmill_common::failure::Failure;
use shardmill_common::rules::{Rule, RuleSet, RuleStatistics, Scalar, Statistic};

use super::{Cleaned, Place, merge, summarise};
use crate::spill::testing::Bench;

static WORKER: LazyLock<Bench> = LazyLock::new(Bench::new);

fn rules(text: &str) -> Vec<Rule> {
    RuleSet::parse(text, "rules.toml").unwrap().rules
}

fn apply(
    frame: DataFrame,
    rules: &[Rule],
    statistics: &[Option<RuleStatistics>],
    ordinal: u32,
) -> Result<Cleaned, Failure> {
    let row_name = |row| format!("orders.csv:{}", row + 1);
    let context = WORKER.context(0, 0);
    super::apply(frame, rules, statistics, &Place { ordinal, row_name: &row_name }, &crate::sql::expressions(&context))
}

/// Applies rules to a dataset of several shards, with the statistics they need, as a cluster does.
fn clean_shards(shards: &[DataFrame], rules: &[Rule]) -> Result<Vec<Cleaned>, Failure> {
    let mut statistics: Vec<Option<RuleStatistics>> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if !rule.needs_statistics() {
            statistics.push(None);
            continue;
        }
        let mut partials = Vec::new();
        let mut runs: Vec<Vec<DataFrame>> = Vec::new();
        for (ordinal, shard) in shards.iter().enumerate() {
            let before = apply(shard.clone(), &rules[..index], &statistics, ordinal as u32)?;
            let summary = summarise(&before.frame, rule, ordinal as u32)?;
            // As it travels: through text.
            partials.push(serde_json::from_str(&summary.partial.to_string()).unwrap());
            runs.push(summary.runs);
        }
        let merged = merge(rule, &partials, |column| {
            let reader = |shard: &Vec<DataFrame>| {
                // In frames of two rows, so that the merge crosses their borders.
                let frame = shard[column].clone();
                let frames: Vec<_> = (0..frame.height()).step_by(2).map(|at| Ok(frame.slice(at as i64, 2))).collect();
                Box::new(frames.into_iter()) as Box<dyn Iterator<Item = _>>
            };
            Ok(runs.iter().map(reader).collect())
        })?;
        statistics.push(Some(serde_json::from_str(&serde_json::to_string(&merged).unwrap()).unwrap()));
    }
    shards.iter().enumerate().map(|(ordinal, shard)| apply(shard.clone(), rules, &statistics, ordinal as u32)).collect()
}

fn clean(frame: DataFrame, text: &str) -> Result<Cleaned, Failure> {
    clean_shards(&[frame], &rules(text)).map(|mut shards| shards.remove(0))
}

/// A column as text, nulls as `-`.
fn show(frame: &DataFrame, column: &str) -> Vec<String> {
    let column = frame.column(column).unwrap();
    (0..column.len())
        .map(|row| match super::cells::scalar_at(column.as_materialized_series(), row).unwrap() {
            None => "-".to_owned(),
            Some(Scalar::Text(text)) => text,
            Some(value) => value.to_string(),
        })
        .collect()
}

fn count(cleaned: &Cleaned, name: &str) -> u64 {
    let counter: Counter = name.parse().unwrap();
    assert!(cleaned.counters.0.contains_key(&counter), "{name} in {:?}", cleaned.counters);
    cleaned.counters.get(&counter)
}

fn reasons(cleaned: &Cleaned) -> Vec<(u32, &str)> {
    cleaned.rejected.iter().map(|r| (r.row, r.reason.as_str())).collect()
}

#[test]
fn text_rules_are_counted_one_by_one() {
    let frame =
        df!("a" => [Some("  Foo  Bar with a long tail "), Some("n/a"), None, Some("ok"), Some(" N/A")]).unwrap();
    let text = "[[rule]]\nop='trim'\n[[rule]]\nop='collapse'\n[[rule]]\nop='case'\nto='lower'\n[[rule]]\nop='null_if'\nvalues=['n/a']";
    let done = clean(frame, text).unwrap();
    assert_eq!(show(&done.frame, "a"), ["foo bar with a long tail", "-", "-", "ok", "-"]);
    assert_eq!(count(&done, "cells_changed/1 trim"), 2);
    assert_eq!(count(&done, "cells_changed/2 collapse"), 1);
    assert_eq!(count(&done, "cells_changed/3 case"), 2);
    assert_eq!(count(&done, "cells_changed/4 null_if"), 2);
    assert!(!done.unchanged);
}

#[test]
fn nothing_changed_is_said_so() {
    let frame = df!("a" => ["x", "y"], "n" => [1i64, 2]).unwrap();
    let text = "[[rule]]\nop='trim'\n[[rule]]\nop='filter'\nsql='n > 0'\n[[rule]]\nop='cast'\ncolumns='n'\nto='integer'\n[[rule]]\nop='range'\ncolumns='n'\nmin=0\non_error='reject'\n[[rule]]\nop='keep'\ncolumns='*'\n[[rule]]\nop='derive'\ncolumn='n'\nsql='n + 0'";
    let done = clean(frame.clone(), text).unwrap();
    assert!(done.unchanged, "{:?}", done.counters);
    assert_eq!(done.frame, frame);
    let names: Vec<_> = done.counters.0.keys().map(Counter::name).collect();
    assert_eq!(
        names,
        [
            "cells_changed/1 trim",
            "cells_changed/2 filter",
            "cells_changed/3 cast",
            "cells_changed/4 range",
            "cells_changed/5 keep",
            "cells_changed/6 derive",
            "rows_dropped/2 filter",
            "rows_rejected/4 range"
        ]
    );
    for text in [
        "[[rule]]\nop='rename'\ncolumns={a='b'}",
        "[[rule]]\nop='drop'\ncolumns='a'",
        "[[rule]]\nop='cast'\ncolumns='n'\nto='float'",
        "[[rule]]\nop='derive'\ncolumn='m'\nsql='n'",
        "[[rule]]\nop='filter'\nsql='n > 1'",
    ] {
        assert!(!clean(frame.clone(), text).unwrap().unchanged, "{text}");
    }
}

#[test]
fn casts_null_reject_and_fail() {
    let frame = || df!("id" => ["a", "b", "c", "d"], "x" => [Some("1.5"), Some("oops"), Some(""), None]).unwrap();
    let done = clean(frame(), "[[rule]]\nop='cast'\ncolumns='x'\nto='float'\non_error='null'").unwrap();
    assert_eq!(show(&done.frame, "x"), ["1.5", "-", "-", "-"]);
    assert_eq!(count(&done, "cells_changed/1 cast"), 2);
    let done = clean(
        frame(),
        "[[rule]]\nop='case'\nto='upper'\n[[rule]]\nop='cast'\ncolumns='x'\nto='float'\non_error='reject'",
    )
    .unwrap();
    assert_eq!(show(&done.frame, "id"), ["A", "C", "D"]);
    assert_eq!(count(&done, "cells_changed/1 case"), 5, "the rejected row was counted by the rule before");
    assert_eq!(count(&done, "rows_rejected/2 cast"), 1);
    assert_eq!(count(&done, "cells_changed/2 cast"), 1, "the blank one");
    assert_eq!(reasons(&done), [(1, "rule 2 (rules.toml:4) cast: column `x`: \"OOPS\" cannot be read as a float")]);
    let failure = clean(frame(), "\n[[rule]]\nop='cast'\ncolumns='x'\nto='float'").unwrap_err();
    assert_eq!(
        failure,
        Failure::bad_input("rules.toml:2: cast: column `x`: \"oops\" cannot be read as a float (orders.csv:2)")
    );
}

#[test]
fn casts_to_times_and_between_types() {
    let frame = df!(
        "t" => ["2024-01-02 03:04:05", "02/01/2024 03:04", "x"],
        "d" => ["2024-02-29", "2023-02-29", " 2024-03-01"],
        "f" => [1.0, 2.5, f64::NAN],
        "b" => ["yes", "0", "maybe"],
        "i" => [0i64, 1, 2],
    )
    .unwrap();
    let text = r#"
        [[rule]]
        op = "cast"
        columns = "t"
        to = "datetime"
        formats = ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M"]
        timezone = "Europe/Berlin"
        on_error = "null"
        [[rule]]
        op = "cast"
        columns = "d"
        to = "date"
        on_error = "null"
        [[rule]]
        op = "cast"
        columns = "f"
        to = "integer"
        on_error = "null"
        [[rule]]
        op = "cast"
        columns = ["b", "i"]
        to = "boolean"
        on_error = "null"
    "#;
    let done = clean(frame, text).unwrap();
    assert_eq!(show(&done.frame, "t"), ["2024-01-02 02:04:05Z", "2024-01-02 02:04:00Z", "-"]);
    assert_eq!(show(&done.frame, "d"), ["2024-02-29", "-", "2024-03-01"]);
    assert_eq!(show(&done.frame, "f"), ["1", "-", "-"]);
    assert_eq!(show(&done.frame, "b"), ["true", "false", "-"]);
    assert_eq!(show(&done.frame, "i"), ["false", "true", "-"]);
    assert_eq!(count(&done, "cells_changed/3 cast"), 2);
    let text = r#"
        [[rule]]
        op = "cast"
        columns = "t"
        to = "string"
        formats = ["%d.%m.%Y"]
        [[rule]]
        op = "cast"
        columns = "d"
        to = "datetime"
        timezone = "UTC"
        [[rule]]
        op = "cast"
        columns = ["f"]
        to = "string"
        [[rule]]
        op = "cast"
        columns = "i"
        to = "float"
    "#;
    let done = clean(done.frame, text).unwrap();
    assert_eq!(show(&done.frame, "t"), ["02.01.2024", "02.01.2024", "-"]);
    assert_eq!(show(&done.frame, "d"), ["2024-02-29 00:00:00Z", "-", "2024-03-01 00:00:00Z"]);
    assert_eq!(show(&done.frame, "f"), ["1", "-", "-"]);
    assert_eq!(done.frame.column("f").unwrap().dtype(), &PolarsType::String);
    assert_eq!(show(&done.frame, "i"), ["0", "1", "-"]);
    assert_eq!(done.frame.column("i").unwrap().dtype(), &PolarsType::Float64);
    let failed = clean(
        df!("i" => [1i64]).unwrap(),
        "[[rule]]\nop='cast'\ncolumns='i'\nto='string'\n[[rule]]\nop='cast'\ncolumns='i'\nto='date'",
    );
    assert_eq!(
        failed.unwrap_err(),
        Failure::bad_input("rules.toml:5: cast: column `i`: \"1\" cannot be read as a date (orders.csv:1)")
    );
    let zone =
        clean(df!("t" => ["x"]).unwrap(), "[[rule]]\nop='cast'\ncolumns='t'\nto='datetime'\ntimezone='Mars/Base'");
    assert!(zone.unwrap_err().to_string().starts_with("rules.toml:1: cast: `Mars/Base` is not a time zone"));
}

#[test]
fn checks_null_drop_and_reject() {
    let frame =
        || df!("id" => ["a1", "b", "c3"], "age" => [Some(250i64), Some(7), None], "w" => [1.0, -1.0, 5.0]).unwrap();
    let done = clean(frame(), "[[rule]]\nop='range'\ncolumns=['age']\nmin=0\nmax=120").unwrap();
    assert_eq!(show(&done.frame, "age"), ["-", "7", "-"]);
    assert_eq!(count(&done, "cells_changed/1 range"), 1);
    let done = clean(frame(), "[[rule]]\nop='range'\ncolumns=['age','w']\nmin=0\nmax=120\non_error='reject'").unwrap();
    assert_eq!(
        reasons(&done),
        [
            (0, "rule 1 (rules.toml:1) range: column `age`: 250 is outside 0..120"),
            (1, "rule 1 (rules.toml:1) range: column `w`: -1 is outside 0..120")
        ]
    );
    assert_eq!(show(&done.frame, "id"), ["c3"]);
    let done = clean(frame(), "[[rule]]\nop='pattern'\ncolumns='id'\npattern='[a-z]\\d'\non_error='drop'\n[[rule]]\nop='range'\ncolumns='w'\nmax=4\non_error='reject'").unwrap();
    assert_eq!(count(&done, "rows_dropped/1 pattern"), 1);
    assert_eq!(show(&done.frame, "id"), ["a1"]);
    assert_eq!(
        reasons(&done),
        [(2, "rule 2 (rules.toml:6) range: column `w`: 5 is outside ..4")],
        "rows as they were given"
    );
    let dates = df!("d" => ["2020-01-01", "2021-01-01"]).unwrap();
    let done =
        clean(dates, "[[rule]]\nop='cast'\ncolumns='d'\nto='date'\n[[rule]]\nop='range'\ncolumns='d'\nmin=2020-06-01")
            .unwrap();
    assert_eq!(show(&done.frame, "d"), ["-", "2021-01-01"]);
}

#[test]
fn fills_and_clips() {
    let frame = || {
        df!("n" => [Some(1i64), None, Some(9)], "s" => [None, Some("x"), None], "f" => [f64::NAN, 2.0, 50.0]).unwrap()
    };
    let done = clean(
        frame(),
        "[[rule]]\nop='fill'\ncolumns='n'\nvalue=5\n[[rule]]\nop='fill'\ncolumns='s'\nwith='forward'\n[[rule]]\nop='fill'\ncolumns='f'\nvalue=0\n[[rule]]\nop='clip'\ncolumns=['n','f']\nmin=2\nmax=8",
    )
    .unwrap();
    assert_eq!(show(&done.frame, "n"), ["2", "5", "8"]);
    assert_eq!(show(&done.frame, "s"), ["-", "x", "x"]);
    assert_eq!(show(&done.frame, "f"), ["2", "2", "8"]);
    assert_eq!(count(&done, "cells_changed/1 fill"), 1);
    assert_eq!(count(&done, "cells_changed/2 fill"), 1);
    assert_eq!(count(&done, "cells_changed/4 clip"), 4);
    let done = clean(frame(), "[[rule]]\nop='null_if'\ncolumns=['n','f']\nvalues=[9, 2]").unwrap();
    assert_eq!(show(&done.frame, "n"), ["1", "-", "-"]);
    assert_eq!(show(&done.frame, "f"), ["-", "-", "50"]);
    assert_eq!(count(&done, "cells_changed/1 null_if"), 2);
}

#[test]
fn columns_and_rows_come_and_go() {
    let frame = || df!("a" => [Some(1i64), None, Some(3)], "b" => [Some("x "), None, None]).unwrap();
    let done = clean(frame(), "[[rule]]\nop='trim'\n[[rule]]\nop='rename'\ncolumns={a='b', b='a'}\n[[rule]]\nop='case'\ncolumns='a'\nto='upper'").unwrap();
    assert_eq!(show(&done.frame, "a"), ["X", "-", "-"]);
    assert_eq!(show(&done.frame, "b"), ["1", "-", "3"]);
    let done = clean(frame(), "[[rule]]\nop='trim'\n[[rule]]\nop='drop'\ncolumns='b'").unwrap();
    assert_eq!(done.frame.width(), 1);
    assert_eq!(count(&done, "cells_changed/1 trim"), 1, "counted although the column is dropped");
    assert_eq!(clean(frame(), "[[rule]]\nop='drop_nulls'").unwrap().frame.height(), 1);
    let done = clean(frame(), "[[rule]]\nop='drop_nulls'\nhow='all'").unwrap();
    assert_eq!(show(&done.frame, "a"), ["1", "3"]);
    assert_eq!(count(&done, "rows_dropped/1 drop_nulls"), 1);
    let done = clean(frame(), "[[rule]]\nop='filter'\nsql='a > 1'").unwrap();
    assert_eq!(show(&done.frame, "a"), ["3"], "a null result drops the row");
    let done = clean(
        frame(),
        "[[rule]]\nop='derive'\ncolumn='c'\nsql='a * 1.5'\n[[rule]]\nop='derive'\ncolumn='a'\nsql='COALESCE(a, 2)'",
    )
    .unwrap();
    assert_eq!(show(&done.frame, "c"), ["1.5", "-", "4.5"]);
    assert_eq!(show(&done.frame, "a"), ["1", "2", "3"]);
    assert_eq!(count(&done, "cells_changed/1 derive"), 2);
    assert_eq!(count(&done, "cells_changed/2 derive"), 1);
    let failure = clean(frame(), "[[rule]]\nop='filter'\nsql='a + 1'").unwrap_err();
    assert_eq!(failure, Failure::bad_input("rules.toml:1: filter: `a + 1` gives i64, not true or false"));
}

/// Values 1, 2, 3, 4, 10 and a null and a NaN, over three shards of which one is empty.
fn numbers() -> Vec<DataFrame> {
    vec![
        df!("x" => [Some(10.0), None, Some(1.0)], "n" => [Some(10i64), None, Some(1)]).unwrap(),
        df!("x" => [0.0; 0], "n" => [0i64; 0]).unwrap(),
        df!("x" => [2.0, f64::NAN, 4.0, 3.0], "n" => [Some(2i64), None, Some(4), Some(3)]).unwrap(),
    ]
}

fn all(shards: &[Cleaned], column: &str) -> Vec<String> {
    shards.iter().flat_map(|s| show(&s.frame, column)).collect()
}

#[test]
fn fills_with_statistics_of_all_shards() {
    let fill = |with: &str| {
        let rules = rules(&format!("[[rule]]\nop='fill'\ncolumns=['x','n']\nwith='{with}'"));
        let done = clean_shards(&numbers(), &rules).unwrap();
        (all(&done, "x"), all(&done, "n"))
    };
    let (x, n) = fill("mean");
    assert_eq!(x, ["10", "4", "1", "2", "4", "4", "3"]);
    assert_eq!(n, ["10", "4", "1", "2", "4", "4", "3"]);
    let (x, n) = fill("median");
    assert_eq!(x, ["10", "3", "1", "2", "3", "4", "3"]);
    assert_eq!(n, ["10", "3", "1", "2", "3", "4", "3"]);
    let (x, n) = fill("forward");
    assert_eq!(x, ["10", "10", "1", "2", "2", "4", "3"]);
    assert_eq!(n, ["10", "10", "1", "2", "2", "4", "3"]);
    let (x, _) = fill("mode");
    assert_eq!(x, ["10", "1", "1", "2", "1", "4", "3"], "of equally frequent values the smallest");
}

#[test]
fn forward_fill_crosses_shards_and_mode_works_on_every_type() {
    let shard = |s: [Option<&str>; 2], b: [Option<bool>; 2]| df!("s" => s, "b" => b).unwrap();
    let shards = [
        shard([None, Some("k\u{e9}")], [Some(true), None]),
        shard([None, None], [None, Some(false)]),
        shard([None, Some("a")], [Some(false), None]),
    ];
    let done = clean_shards(&shards, &rules("[[rule]]\nop='fill'\ncolumns='*'\nwith='forward'")).unwrap();
    assert_eq!(all(&done, "s"), ["-", "ké", "ké", "ké", "ké", "a"]);
    assert_eq!(all(&done, "b"), ["true", "true", "true", "false", "false", "false"]);
    assert_eq!(
        done.iter().map(|d| d.counters.get(&Counter::CellsChanged("1 fill".into()))).collect::<Vec<_>>(),
        [1, 3, 2]
    );
    let done = clean_shards(&shards, &rules("[[rule]]\nop='fill'\ncolumns='*'\nwith='mode'")).unwrap();
    assert_eq!(all(&done, "s"), ["a", "ké", "a", "a", "a", "a"]);
    assert_eq!(all(&done, "b"), ["true", "false", "false", "false", "false", "false"]);
    let times = df!("t" => ["2024-01-01", "2024-01-02", "2024-01-02", ""]).unwrap();
    let text = "[[rule]]\nop='cast'\ncolumns='t'\nto='datetime'\n[[rule]]\nop='fill'\ncolumns='t'\nwith='mode'";
    assert_eq!(show(&clean(times.clone(), text).unwrap().frame, "t")[3], "2024-01-02 00:00:00");
    let text = text.replace("'datetime'", "'date'");
    assert_eq!(show(&clean(times, &text).unwrap().frame, "t")[3], "2024-01-02");
}

fn statistic(shards: &[DataFrame], text: &str) -> Statistic {
    let rule = rules(text).remove(0);
    let summaries: Vec<_> = shards.iter().enumerate().map(|(i, s)| summarise(s, &rule, i as u32).unwrap()).collect();
    let partials: Vec<_> = summaries.iter().map(|s| s.partial.clone()).collect();
    let merged = merge(&rule, &partials, |column| {
        Ok(summaries
            .iter()
            .map(|s| Box::new(std::iter::once(Ok(s.runs[column].clone()))) as Box<dyn Iterator<Item = _>>)
            .collect())
    });
    merged.unwrap().columns.remove(0).statistic
}

#[test]
fn statistics_equal_values_worked_out_by_hand() {
    // 1, 2, 3, 4, 10: mean 4, squares 9+4+1+0+36 = 50, variance 10.
    let Statistic::Moments { count, mean, std } = statistic(&numbers(), "[[rule]]\nop='zscore'\ncolumns='x'") else {
        panic!()
    };
    assert_eq!((count, mean), (5, 4.0));
    assert!((std - 10.0f64.sqrt()).abs() < 1e-15, "{std}");
    let Statistic::Quartiles(Some(q)) = statistic(&numbers(), "[[rule]]\nop='iqr'\ncolumns='x'") else { panic!() };
    assert_eq!((q.first, q.third), (2.0, 4.0));
    // 1, 2, 3, 4: places 0.75 and 2.25.
    let four = [df!("x" => [4i64, 1]).unwrap(), df!("x" => [3i64, 2]).unwrap()];
    let Statistic::Quartiles(Some(q)) = statistic(&four, "[[rule]]\nop='iqr'\ncolumns='x'") else { panic!() };
    assert_eq!((q.first, q.third), (1.75, 3.25));
    let median = statistic(&four, "[[rule]]\nop='fill'\ncolumns='x'\nwith='median'");
    assert_eq!(median, Statistic::Value(Some(Scalar::Float(2.5))));
    let none = [df!("x" => [None::<f64>]).unwrap()];
    for with in ["mean", "median", "mode"] {
        let found = statistic(&none, &format!("[[rule]]\nop='fill'\ncolumns='x'\nwith='{with}'"));
        assert_eq!(found, Statistic::Value(None), "{with}");
    }
    let found = statistic(&none, "[[rule]]\nop='iqr'\ncolumns='x'");
    assert_eq!(found, Statistic::Quartiles(None));
}

#[test]
fn moments_are_stable_and_do_not_depend_on_how_rows_are_sharded() {
    // A large offset, at which a sum of squares would lose everything.
    let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 10)).collect();
    let whole = Series::new("x".into(), &values).into_column();
    let whole = DataFrame::new(1000, vec![whole]).unwrap();
    for pieces in [1usize, 3, 7, 100] {
        let size = 1000usize.div_ceil(pieces);
        let shards: Vec<_> = (0..pieces).map(|i| whole.slice((i * size) as i64, size)).collect();
        let Statistic::Moments { mean, std, .. } = statistic(&shards, "[[rule]]\nop='standardise'\ncolumns='x'") else {
            panic!()
        };
        assert!((mean - (1e9 + 4.5)).abs() <= 1e-12 * 1e9, "{pieces} {mean}");
        assert!((std - 8.25f64.sqrt()).abs() <= 1e-9, "{pieces} {std}");
    }
    let constant = DataFrame::new(999, vec![Series::new("x".into(), vec![0.1f64; 999]).into_column()]).unwrap();
    let shards: Vec<_> = (0..7).map(|i| constant.slice(i * 150, 150)).collect();
    let Statistic::Moments { std, .. } = statistic(&shards, "[[rule]]\nop='standardise'\ncolumns='x'") else {
        panic!()
    };
    assert_eq!(std, 0.0, "a constant column does not vary");
}

#[test]
fn outliers_and_standardising() {
    let done =
        clean_shards(&numbers(), &rules("[[rule]]\nop='zscore'\ncolumns=['x']\nlimit=1.5\non_error='drop'")).unwrap();
    assert_eq!(all(&done, "x"), ["-", "1", "2", "-", "4", "3"]);
    assert_eq!(done[0].counters.get(&Counter::RowsDroppedBy("1 zscore".into())), 1);
    let done = clean_shards(&numbers(), &rules("[[rule]]\nop='iqr'\ncolumns=['n']\non_error='null'")).unwrap();
    assert_eq!(all(&done, "n"), ["-", "-", "1", "2", "-", "4", "3"]);
    let done = clean_shards(&numbers(), &rules("[[rule]]\nop='iqr'\ncolumns=['n']\non_error='reject'")).unwrap();
    assert_eq!(
        reasons(&done[0]),
        [(0, "rule 1 (rules.toml:1) iqr: column `n`: 10 is more than 1.5 times the interquartile range outside 2..4")]
    );
    let done = clean_shards(&numbers(), &rules("[[rule]]\nop='standardise'\ncolumns=['n']")).unwrap();
    let made: Vec<f64> =
        done.iter().flat_map(|d| d.frame.column("n").unwrap().f64().unwrap().iter().flatten()).collect();
    let want: Vec<f64> = [10.0, 1.0, 2.0, 4.0, 3.0].iter().map(|x: &f64| (x - 4.0) / 10.0f64.sqrt()).collect();
    assert!(made.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-15), "{made:?}");
    assert_eq!(done.iter().map(|d| d.counters.get(&Counter::CellsChanged("1 standardise".into()))).sum::<u64>(), 5);
    let same = df!("x" => [3.0, 3.0]).unwrap();
    assert_eq!(show(&clean(same, "[[rule]]\nop='standardise'\ncolumns='x'").unwrap().frame, "x"), ["0", "0"]);
}

#[test]
fn statistics_see_the_data_after_the_rules_before() {
    let frame = df!("x" => ["1", "3", " 999 ", ""], "keep" => [1i64, 1, 0, 1]).unwrap();
    let text = "[[rule]]\nop='cast'\ncolumns='x'\nto='float'\n[[rule]]\nop='filter'\nsql='keep = 1'\n[[rule]]\nop='fill'\ncolumns='x'\nwith='mean'";
    assert_eq!(show(&clean(frame, text).unwrap().frame, "x"), ["1", "3", "2"]);
}

#[test]
fn missing_statistics_are_an_internal_error() {
    let rules = rules("[[rule]]\nop='fill'\ncolumns='x'\nwith='mean'");
    assert!(matches!(apply(numbers().remove(0), &rules, &[], 0), Err(Failure::Internal { .. })));
}

#[test]
fn old_texts_are_shared_and_new_ones_are_right_across_chunks() {
    let long = "a text that is longer than twelve bytes";
    let mut frame = df!("s" => [long, "Short", "  padded text, longer than twelve  "]).unwrap();
    frame.vstack_mut(&df!("s" => ["ANOTHER LONG TEXT, IN A SECOND CHUNK", "\u{a0}x\u{a0}", ""]).unwrap()).unwrap();
    let done = clean(frame, "[[rule]]\nop='trim'\n[[rule]]\nop='case'\nto='lower'").unwrap();
    let want = [long, "short", "padded text, longer than twelve", "another long text, in a second chunk", "x", ""];
    assert_eq!(show(&done.frame, "s"), want);
    assert_eq!(count(&done, "cells_changed/1 trim"), 2);
}

#[test]
fn rules_are_checked_without_data() {
    assert_eq!(super::check(&rules("[[rule]]\nop='filter'\nsql='a > 1'")), Ok(()));
    let error = |text: &str| super::check(&rules(text)).unwrap_err().to_string();
    assert!(
        error("[[rule]]\nop='filter'\nsql='SUM(a) > 1'")
            .starts_with("rules.toml:1: filter: the function `SUM` is not allowed")
    );
    assert!(error("[[rule]]\nop='cast'\ncolumns='a'\nto='datetime'\ntimezone='CEST'").contains("is not a time zone"));
    assert_eq!(
        error("[[rule]]\nop='cast'\ncolumns='a'\nto='date'\nformats=['%d.%m.']"),
        "rules.toml:1: cast: the format `%d.%m.` has no year"
    );
}

#[test]
fn a_column_without_values_is_text() {
    let nulls = Series::new_null(PlSmallStr::from_static("e"), 2).into_column();
    let frame = DataFrame::new(2, vec![nulls]).unwrap();
    let done = clean(frame, "[[rule]]\nop='trim'\ncolumns='e'").unwrap();
    assert_eq!(done.frame.columns()[0].dtype(), &PolarsType::String);
}

/// A small generator, so that every run tests the same cases.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const CELLS: [&str; 22] = [
    "",
    " ",
    "n/a",
    "N/A ",
    " 12",
    "3.5",
    "-7",
    "1e3",
    "2024-01-02",
    "02/01/2024",
    " 2024-01-02 03:04:05 ",
    "Foo  Bar",
    "foo bar",
    "  A Rather Long Text, With Spaces  ",
    "a rather long text without any change",
    "CAFE\u{301} au lait, s'il vous pla\u{ee}t",
    "Ünïcödé",
    "yes",
    "NO",
    "x\u{a0}",
    "nan",
    "0",
];

const STEPS: [&str; 24] = [
    "op='trim'",
    "op='trim'\nside='end'",
    "op='collapse'",
    "op='case'\nto='lower'",
    "op='case'\nto='upper'",
    "op='case'\nto='title'\ncolumns=['COL']",
    "op='normalize'",
    "op='normalize'\nform='nfkd'",
    "op='replace'\nfind='o'\nwith='0'",
    "op='replace'\nfind='(\\w)\\s'\nwith='$1_'\nregex=true",
    "op='replace'\nfind='foo bar'\nwith='a replacement of some length'\nwhole=true",
    "op='null_if'\nvalues=['', 'n/a']",
    "op='null_if'\nvalues=['No']\nignore_case=true",
    "op='cast'\ncolumns='COL'\nto='float'\non_error='null'",
    "op='cast'\ncolumns='COL'\nto='integer'\non_error='reject'",
    "op='cast'\ncolumns='COL'\nto='datetime'\non_error='null'",
    "op='cast'\ncolumns='COL'\nto='date'\nformats=['%Y-%m-%d','%d/%m/%Y']\non_error='null'",
    "op='cast'\ncolumns='COL'\nto='string'\non_error='null'",
    "op='pattern'\ncolumns='COL'\npattern='.*[a-z].*'\non_error='drop'",
    "op='drop_nulls'\ncolumns='COL'",
    "op='fill'\ncolumns='COL'\nwith='mode'",
    "op='fill'\ncolumns='COL'\nwith='forward'",
    "op='rename'\ncolumns={p='q', q='p'}",
    "op='filter'\nsql=\"r IS NULL OR NOT (id % 7 = 0)\"",
];

/// One rule at a time, each on what the one before left, which is what the order of rules means.
fn one_by_one(shards: &[DataFrame], rules: &[Rule]) -> Result<Vec<Cleaned>, Failure> {
    let mut state: Vec<(DataFrame, Vec<u32>)> =
        shards.iter().map(|s| (s.clone(), (0..s.height() as u32).collect())).collect();
    let mut done: Vec<Cleaned> = shards
        .iter()
        .map(|s| Cleaned { frame: s.clone(), counters: Default::default(), rejected: vec![], unchanged: true })
        .collect();
    for rule in rules {
        let frames: Vec<_> = state.iter().map(|(frame, _)| frame.clone()).collect();
        let after = clean_shards(&frames, std::slice::from_ref(rule))?;
        for (((frame, rows), total), after) in state.iter_mut().zip(&mut done).zip(after) {
            total.counters.merge(&after.counters);
            total.unchanged &= after.unchanged;
            for mut rejected in after.rejected {
                rejected.row = rows[rejected.row as usize];
                total.rejected.push(rejected);
            }
            // The rows left, by their number.
            let left = after.frame.column("id").unwrap().i64().unwrap().iter().map(|id| id.unwrap() as u32).collect();
            (*frame, *rows) = (after.frame, left);
        }
    }
    for ((frame, _), total) in state.into_iter().zip(&mut done) {
        total.frame = frame;
        total.rejected.sort_by_key(|r| r.row);
    }
    Ok(done)
}

#[test]
fn fused_rules_do_what_the_same_rules_do_one_at_a_time() {
    let mut dice = Dice(20);
    let (mut compared, mut failed) = (0, 0);
    for case in 0..600 {
        let shards: Vec<DataFrame> = (0..1 + dice.roll(3))
            .map(|_| {
                let height = dice.roll(30);
                let mut column = || -> Vec<Option<&str>> {
                    (0..height).map(|_| (dice.roll(8) > 0).then(|| dice.pick(&CELLS))).collect()
                };
                let (p, q, r) = (column(), column(), column());
                let ids: Vec<i64> = (0..height as i64).collect();
                df!("p" => p, "id" => ids, "q" => q, "r" => r).unwrap()
            })
            .collect();
        let steps = 1 + dice.roll(9);
        let mut text = String::new();
        for _ in 0..steps {
            let step = dice.pick(&STEPS);
            let column = dice.pick(&["p", "q", "r"]);
            text.push_str(&format!("[[rule]]\n{}\n", step.replace("COL", column)));
        }
        let rules = rules(&text);
        match (clean_shards(&shards, &rules), one_by_one(&shards, &rules)) {
            (Ok(fused), Ok(single)) => {
                compared += 1;
                for (a, b) in fused.iter().zip(&single) {
                    assert!(a.frame.equals_missing(&b.frame), "case {case}\n{text}\n{:?}\n{:?}", a.frame, b.frame);
                    assert_eq!(a.frame.schema(), b.frame.schema(), "case {case}\n{text}");
                    assert_eq!(a.counters, b.counters, "case {case}\n{text}");
                    assert_eq!(a.rejected, b.rejected, "case {case}\n{text}");
                    assert_eq!(a.unchanged, b.unchanged, "case {case}\n{text}");
                }
            }
            // Rules that do not fit the column as it is by then: both must say the same.
            (Err(a), Err(b)) => {
                failed += 1;
                assert_eq!(a, b, "case {case}\n{text}");
            }
            (a, b) => panic!("case {case}\n{text}\n{a:?}\n{b:?}"),
        }
    }
    assert!(compared > 150 && failed > 0, "{compared} compared, {failed} failed");
}
