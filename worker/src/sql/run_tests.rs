//! What statements give, and that they give it again.

use super::*;
use polars::df;
use polars::prelude::{Column, DataType as PolarsType};

fn one(statement: &str, frame: &DataFrame) -> Result<DataFrame, String> {
    run(statement, &[("input", frame)])
}

fn texts(frame: &DataFrame, column: &str) -> Vec<Option<String>> {
    frame.column(column).unwrap().str().unwrap().iter().map(|t| t.map(str::to_owned)).collect()
}

fn ints(frame: &DataFrame, column: &str) -> Vec<Option<i64>> {
    frame.column(column).unwrap().i64().unwrap().iter().collect()
}

#[test]
fn text_is_split_into_words() {
    let frame = df!("line" => [Some("the cat  the\tdog"), None, Some(""), Some("cat")]).unwrap();
    let words = one("SELECT UNNEST(WORDS(line)) AS word FROM input", &frame).unwrap();
    let some = |words: &[&str]| words.iter().map(|w| Some((*w).to_owned())).collect::<Vec<_>>();
    let found: Vec<_> = texts(&words, "word").into_iter().filter(Option::is_some).collect();
    assert_eq!(found, some(&["the", "cat", "the", "dog", "cat"]));
    let count = "SELECT word, COUNT(*) AS n FROM (SELECT UNNEST(WORDS(line)) AS word FROM input) AS w WHERE word IS NOT NULL GROUP BY word";
    let counted = one(count, &frame).unwrap();
    assert_eq!(texts(&counted, "word"), some(&["the", "cat", "dog"]), "in the order of first appearance");
    assert_eq!(ints(&counted, "n"), [Some(2), Some(2), Some(1)]);
    let split = one("SELECT UNNEST(STRING_TO_ARRAY(line, ' ')) AS word FROM input WHERE line IS NOT NULL", &frame);
    assert_eq!(texts(&split.unwrap(), "word"), some(&["the", "cat", "", "the\tdog", "", "cat"]));
    let split = one("SELECT UNNEST(REGEXP_SPLIT(line, '\\s+')) AS word FROM input WHERE line <> ''", &frame).unwrap();
    assert_eq!(texts(&split, "word"), some(&["the", "cat", "the", "dog", "cat"]));
    let empty = frame.slice(0, 0);
    assert_eq!(one(count, &empty).unwrap().height(), 0);
}

#[test]
fn patterns_extract_and_replace() {
    let frame = df!("t" => [Some("GET /a/7 200"), Some("nothing"), None]).unwrap();
    let made = one(
        "SELECT REGEXP_EXTRACT(t, '(\\w+) (/\\S*)', 2) AS path, REGEXP_EXTRACT(t, '\\d+') AS n, REGEXP_REPLACE(t, '[0-9]+', '#') AS r FROM input",
        &frame,
    )
    .unwrap();
    assert_eq!(texts(&made, "path"), [Some("/a/7".into()), None, None]);
    assert_eq!(texts(&made, "n"), [Some("7".into()), None, None]);
    assert_eq!(texts(&made, "r"), [Some("GET /a/# #".into()), Some("nothing".into()), None]);
    let nested = "WITH a AS (SELECT REGEXP_REPLACE(LOWER(t), '[^a-z]+', ' ') AS t FROM input) SELECT UNNEST(WORDS(t)) AS w FROM a WHERE t IN (SELECT REGEXP_REPLACE(LOWER(t), '[^a-z]+', ' ') FROM input)";
    assert_eq!(texts(&one(nested, &frame).unwrap(), "w"), ["get", "a", "nothing"].map(|w| Some(w.to_owned())));
    for (call, said) in [
        ("REGEXP_EXTRACT(t, '(')", "not a pattern"),
        ("REGEXP_EXTRACT(t, '(a)', 2)", "groups are 0 to 1"),
        ("REGEXP_REPLACE(t, 'x')", "REGEXP_REPLACE(text, 'pattern', 'by')"),
        ("REGEXP_SPLIT(t, t)", "REGEXP_SPLIT(text, 'pattern')"),
        ("WORDS()", "WORDS(text)"),
    ] {
        let error = one(&format!("SELECT {call} AS x FROM input"), &frame).unwrap_err();
        assert!(error.contains(said) && error.contains('^'), "{call}: {error}");
    }
}

#[test]
fn results_are_of_stored_types() {
    let frame = df!("a" => [1i64, 2], "t" => ["x", "y"]).unwrap();
    let made = one(
        "SELECT COUNT(*) AS n, CAST(MIN(a) AS SMALLINT) AS s, CAST(1.5 AS REAL) AS r, NULL AS nothing, MAX(t) AS t FROM input",
        &frame,
    )
    .unwrap();
    let types: Vec<&PolarsType> = made.columns().iter().map(Column::dtype).collect();
    let (int, float, text) = (PolarsType::Int64, PolarsType::Float64, PolarsType::String);
    assert_eq!(types, [&int, &int, &float, &text, &text]);
    let error = one("SELECT ARRAY_AGG(a) AS all_of FROM input", &frame).unwrap_err();
    assert!(error.contains("`all_of`") && error.contains("UNNEST"), "{error}");
}

/// Many rows of few keys, so that whatever works in parallel would show.
fn many() -> DataFrame {
    let rows = 60_000i64;
    let keys: Vec<String> = (0..rows).map(|n| format!("k{}", n * 7919 % 997)).collect();
    let numbers: Vec<f64> = (0..rows).map(|n| ((n * 31 % 1009) as f64).sqrt() * 1e-3 + 1e9 / (n + 1) as f64).collect();
    df!("k" => keys, "n" => (0..rows).collect::<Vec<_>>(), "x" => numbers).unwrap()
}

#[test]
fn rows_come_in_the_same_order_every_time() {
    let frame = many();
    let small = frame.slice(0, 2000);
    for (statement, frame) in [
        ("SELECT k, SUM(x) AS x, COUNT(*) AS n FROM input GROUP BY k", &frame),
        ("SELECT k, n % 3 AS m, AVG(x) AS x FROM input GROUP BY k, n % 3", &frame),
        ("SELECT DISTINCT k FROM input", &frame),
        ("SELECT k FROM input WHERE n % 2 = 0 UNION SELECT k FROM input", &frame),
        ("SELECT k FROM input EXCEPT SELECT k FROM input WHERE n < 400", &frame),
        ("SELECT a.k, a.n, b.n AS m FROM input AS a JOIN input AS b ON a.k = b.k WHERE a.n < b.n", &small),
        (
            "SELECT a.n FROM input AS a LEFT JOIN (SELECT k, MIN(n) AS f FROM input GROUP BY k) AS b ON a.k = b.k AND a.n = b.f",
            &frame,
        ),
        ("SELECT n FROM input WHERE k IN (SELECT k FROM input WHERE n > 59900)", &frame),
        ("SELECT SUM(x) AS x FROM input WHERE n % 3 = 1", &frame),
        ("SELECT k, n, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n % 5) AS r FROM input", &frame),
        ("SELECT n FROM input ORDER BY n % 10", &frame),
        ("SELECT k, STRING_AGG(DISTINCT CAST(n % 7 AS VARCHAR), ',') AS all_of FROM input GROUP BY k", &frame),
    ] {
        let first = one(statement, frame).unwrap();
        assert!(first.height() > 0, "{statement}");
        // How rows are cut into pieces says nothing either.
        let mut pieces = frame.slice(0, 700);
        pieces.vstack_mut(&frame.slice(700, frame.height())).unwrap();
        for again in [frame, frame, &pieces] {
            assert!(one(statement, again).unwrap().equals_missing(&first), "{statement}");
        }
    }
}

#[test]
fn groups_and_distinct_rows_come_in_the_order_of_first_appearance() {
    let frame = many();
    let first: Vec<Option<String>> = (0..997).map(|n| Some(format!("k{}", n * 7919 % 997))).collect();
    for statement in ["SELECT k, SUM(x) AS x FROM input GROUP BY k", "SELECT DISTINCT k FROM input"] {
        assert_eq!(texts(&one(statement, &frame).unwrap(), "k"), first, "{statement}");
    }
    let sorted = one("SELECT n FROM input ORDER BY n % 10", &frame.slice(0, 100)).unwrap();
    let wanted: Vec<_> = (0..10).flat_map(|d| (0..10).map(move |t| Some(t * 10 + d))).collect();
    assert_eq!(ints(&sorted, "n"), wanted, "ties keep their order");
}

#[test]
fn what_the_engine_cannot_digest_is_an_error_of_one_line() {
    let frame = df!("t" => ["1", "x"]).unwrap();
    let error = one("SELECT CAST(t AS BIGINT) AS n FROM input", &frame).unwrap_err();
    assert!(error.contains("conversion") && !error.contains('\n'), "{error}");
}

#[test]
fn sums_do_not_wrap() {
    let frame = df!("k" => ["a", "a", "b"], "n" => [i64::MAX, 5, 1], "m" => [i64::MAX - 100, -5, 1]).unwrap();
    for statement in [
        "SELECT SUM(n) AS s FROM input",
        "SELECT k, SUM(n) AS s FROM input GROUP BY k",
        "SELECT k, SUM(n) OVER (PARTITION BY k) AS s FROM input",
        "SELECT SUM(s) AS s FROM (SELECT k, MAX(n) AS s FROM input GROUP BY k) AS t",
        "SELECT k FROM input GROUP BY k HAVING SUM(n) > 1",
    ] {
        let error = one(statement, &frame).unwrap_err();
        assert!(error.contains("beyond 64 bits") && error.contains("DOUBLE"), "{statement}: {error}");
    }
    let fine = one(
        "SELECT k, SUM(m) AS s, SUM(m + 1) AS t, SUM(CAST(n AS DOUBLE)) AS f, SUM(1) AS n FROM input GROUP BY k",
        &frame,
    )
    .unwrap();
    assert_eq!(ints(&fine, "s"), [Some(i64::MAX - 105), Some(1)]);
    assert_eq!(ints(&fine, "t"), [Some(i64::MAX - 103), Some(2)]);
    let filtered = one("SELECT k, SUM(n) FILTER (WHERE n < 9) AS s FROM input GROUP BY k", &frame).unwrap();
    assert_eq!(ints(&filtered, "s"), [Some(5), Some(1)]);
}
