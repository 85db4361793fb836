//! What statements give, and that they give it again.

use super::*;
use crate::testing::{df, ints, run, texts, whole};
use arrow::datatypes::DataType as ArrowType;

const ENOUGH: u64 = 1 << 30;

fn one(statement: &str, rows: &RecordBatch) -> Result<RecordBatch, String> {
    run(statement, &[("input", rows.clone())], ENOUGH).map_err(|e| e.to_string())
}

#[test]
fn what_a_window_counts_is_not_taken_for_sorted() {
    let rows = df!("k" => (0..40i64).map(|n| Some(n / 7)).collect::<Vec<_>>());
    let statement = "SELECT n, COUNT(*) AS c FROM (SELECT DISTINCT k, COUNT(1) OVER (PARTITION BY k ORDER BY k ROWS BETWEEN 1 PRECEDING \
                     AND CURRENT ROW) AS n FROM input) q GROUP BY n ORDER BY n";
    let made = one(statement, &rows).unwrap();
    assert_eq!((ints(&made, "n"), ints(&made, "c")), (vec![Some(1), Some(2)], vec![Some(6), Some(6)]));
}

#[test]
fn text_is_split_into_words() {
    let frame = df!("line" => [Some("the cat  the\tdog"), None, Some(""), Some("cat")]);
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
    assert_eq!(one(count, &empty).unwrap().num_rows(), 0);
}

#[test]
fn patterns_extract_and_replace() {
    let frame = df!("t" => [Some("GET /a/7 200"), Some("nothing"), None]);
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
        ("REGEXP_REPLACE(t, '(x)', '\\2')", "no group 2; its groups are 0 to 1"),
        ("REGEXP_SPLIT(t, t)", "REGEXP_SPLIT(text, 'pattern')"),
        ("WORDS()", "WORDS(text)"),
    ] {
        let error = one(&format!("SELECT {call} AS x FROM input"), &frame).unwrap_err();
        assert!(error.contains(said) && error.contains('^'), "{call}: {error}");
    }
}

#[test]
fn results_are_of_stored_types() {
    let frame = df!("a" => [1i64, 2], "t" => ["x", "y"]);
    let made = one(
        "SELECT COUNT(*) AS n, CAST(MIN(a) AS SMALLINT) AS s, CAST(1.5 AS REAL) AS r, NULL AS nothing, MAX(t) AS t FROM input",
        &frame,
    )
    .unwrap();
    let types: Vec<&ArrowType> = made.columns().iter().map(|c| c.data_type()).collect();
    let (int, float, text) = (ArrowType::Int64, ArrowType::Float64, ArrowType::Utf8View);
    assert_eq!(types, [&int, &int, &float, &text, &text]);
    let error = one("SELECT ARRAY_AGG(a) AS all_of FROM input", &frame).unwrap_err();
    assert!(error.contains("`all_of`") && error.contains("UNNEST"), "{error}");
}

/// Many rows of few keys, so that whatever works in parallel would show.
fn many() -> RecordBatch {
    let rows = 60_000i64;
    let keys: Vec<String> = (0..rows).map(|n| format!("k{}", n * 7919 % 997)).collect();
    let numbers: Vec<f64> = (0..rows).map(|n| ((n * 31 % 1009) as f64).sqrt() * 1e-3 + 1e9 / (n + 1) as f64).collect();
    df!("k" => keys, "n" => (0..rows).collect::<Vec<_>>(), "x" => numbers)
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
        assert!(first.num_rows() > 0, "{statement}");
        for _ in 0..3 {
            assert_eq!(one(statement, frame).unwrap(), first, "{statement}");
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
    let frame = df!("t" => ["1", "x"]);
    let error = one("SELECT CAST(t AS BIGINT) AS n FROM input", &frame).unwrap_err();
    assert!(error.contains("`x` is no whole number") && !error.contains('\n'), "{error}");
}

#[test]
fn nan_is_the_greatest_wherever_it_stands() {
    let nan = f64::NAN;
    for x in [[nan, -3.0, 1.0], [-3.0, nan, 1.0], [1.0, -3.0, nan], [-nan, 1.0, -3.0]] {
        let rows = df!("k" => ["a", "a", "a"], "n" => [1i64, 2, 3], "x" => x);
        for statement in [
            "SELECT CAST(MIN(x) AS VARCHAR) AS lo, CAST(MAX(x) AS VARCHAR) AS hi FROM input",
            "SELECT CAST(MIN(x) AS VARCHAR) AS lo, CAST(MAX(x) AS VARCHAR) AS hi FROM input GROUP BY k",
            "SELECT CAST(MIN(x) OVER (ORDER BY n ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS VARCHAR) AS lo, \
             CAST(MAX(x) OVER () AS VARCHAR) AS hi FROM input ORDER BY n DESC LIMIT 1",
        ] {
            let made = one(statement, &rows).unwrap();
            assert_eq!((texts(&made, "lo"), texts(&made, "hi")), (vec![Some("-3.0".into())], vec![Some("NaN".into())]));
        }
    }
    let zeros = df!("a" => [0i64, 0], "b" => [0i64, 1]);
    assert_eq!(ints(&one("SELECT b FROM input ORDER BY a / b", &zeros).unwrap(), "b"), [Some(1), Some(0)]);
}

#[test]
fn texts_are_joined_each_in_its_order() {
    let rows = df!("a" => [Some("x"), None, Some("z"), Some("y")], "n" => [3i64, 2, 1, 4]);
    let made = one(
        "SELECT STRING_AGG(a, ',' ORDER BY a) AS up, STRING_AGG(a, ',' ORDER BY n DESC) AS down, \
         STRING_AGG(a, ',' ORDER BY n) FILTER (WHERE n > 9) AS none FROM input",
        &rows,
    )
    .unwrap();
    let all: Vec<_> = ["up", "down", "none"].iter().map(|c| texts(&made, c)[0].clone()).collect();
    assert_eq!(all, [Some("x,y,z".into()), Some("y,x,z".into()), None]);
    let plain = one("SELECT STRING_AGG(a, ',') AS plain FROM input", &rows).unwrap();
    assert_eq!(texts(&plain, "plain"), [Some("x,z,y".into())]);
}

#[test]
fn what_is_cast_is_another_group_than_what_is_not() {
    let rows = df!("n" => [1i64, 1, 2]);
    let made = one(
        "SELECT CAST(n AS VARCHAR) AS t, n, CAST(n AS DOUBLE) AS x, COUNT(*) AS c FROM input GROUP BY 1, 2, 3",
        &rows,
    );
    assert_eq!(ints(&made.unwrap(), "c"), [Some(2), Some(1)]);
}

/// What the engine gets wrong by itself; each of these gave rows.
#[test]
fn filters_keep_their_meaning() {
    let rows = df!("i" => [Some(1i64), Some(2), None], "k" => [Some(1i64), Some(5), None]);
    let none = rows.slice(0, 0);
    for statement in [
        "SELECT 1 AS c FROM (SELECT COUNT(*) AS n FROM l) AS q WHERE 0 > (SELECT AVG(w.i) FROM l AS w)",
        "SELECT z.i FROM r AS z WHERE CAST(NULL AS BIGINT) NOT IN (SELECT w.i FROM r AS w WHERE w.k > 0)",
        "SELECT z.i FROM r AS z WHERE 7 NOT IN (SELECT w.i FROM r AS w)",
        "SELECT z.i FROM r AS z WHERE 2 NOT IN (SELECT w.i FROM r AS w)",
        "SELECT z.i FROM l AS a RIGHT JOIN r AS z ON a.k = z.k WHERE CASE WHEN z.k IS NOT NULL THEN (z.k BETWEEN z.i AND a.k) END",
        "SELECT z.i FROM l AS a RIGHT JOIN r AS z ON a.k = z.k WHERE z.k NOT IN (a.k + 1, -3)",
    ] {
        let made = run(statement, &[("l", none.clone()), ("r", rows.clone())], ENOUGH).unwrap();
        assert_eq!(made.num_rows(), 0, "{statement}");
    }
    for statement in [
        "SELECT z.i FROM r AS z WHERE 7 NOT IN (SELECT w.i FROM r AS w WHERE w.i > 0)",
        "SELECT z.i FROM r AS z WHERE NULL NOT IN (SELECT w.i FROM l AS w)",
        "SELECT z.i FROM r AS z WHERE z.i IS NULL OR 7 NOT IN (SELECT w.i FROM r AS w WHERE w.i > 0)",
    ] {
        let made = run(statement, &[("l", none.clone()), ("r", rows.clone())], ENOUGH).unwrap();
        assert_eq!(made.num_rows(), 3, "{statement}");
    }
}

#[test]
fn keys_of_outer_joins_are_those_of_either_side() {
    let l = df!("i" => [1i64, 2, 3], "k" => [Some("a"), Some("b"), None]);
    let r = df!("y" => [10i64, 20], "k" => ["a", "z"]);
    let tables = [("l", l), ("r", r)];
    let keys = |statement: &str| {
        let made = run(statement, &tables, ENOUGH).unwrap_or_else(|e| panic!("{statement}: {e}"));
        texts(&made, "k").into_iter().map(|k| k.unwrap_or("null".into())).collect::<Vec<_>>()
    };
    assert_eq!(keys("SELECT k, l.i, y FROM l FULL JOIN r USING (k) ORDER BY k"), ["a", "b", "z", "null"]);
    assert_eq!(keys("SELECT k, y FROM l AS a RIGHT JOIN r AS b USING (k) ORDER BY y"), ["a", "z"]);
    assert_eq!(keys("SELECT k FROM l FULL JOIN (SELECT k FROM r) AS q USING (k) WHERE k > 'b'"), ["z"]);
    assert_eq!(
        keys(
            "SELECT UPPER(k) AS k, COUNT(*) AS n FROM l FULL JOIN r USING (k) GROUP BY k HAVING k IS NOT NULL ORDER BY 1"
        ),
        ["A", "B", "Z"]
    );
    assert_eq!(keys("SELECT k FROM l JOIN r USING (k)"), ["a"]);
    assert_eq!(
        keys("SELECT k, (SELECT COUNT(*) FROM r WHERE r.k = l.k) AS n FROM l LEFT JOIN r USING (k) ORDER BY i"),
        ["a", "b", "null"]
    );
}

#[test]
fn expressions_are_computed_some_rows_at_a_time() {
    // More than one call may make, but not of the rows that it is given at once.
    let rows = df!("t" => vec!["a"; 60_000]);
    let limits = Limits { memory: ENOUGH, spills: false };
    let made =
        whole(|out| crate::evaluate("length(lpad(t, 8000, 'x'))", &["length", "lpad"], &rows, limits, out)).unwrap();
    assert_eq!((made.num_rows(), made.column(0).null_count()), (60_000, 0));
}

#[test]
fn what_does_not_fit_is_told() {
    let rows = df!("n" => (0..20_000).collect::<Vec<i64>>());
    for statement in [
        "SELECT SUM(a.n) AS s FROM input AS a JOIN (SELECT n, REPEAT('x', 1000) AS t FROM input) AS b ON a.n = b.n GROUP BY b.t",
        "SELECT n, REPEAT('x', 1000) || n AS t FROM input AS a ORDER BY n % 1000",
        "SELECT a.n % 19000 AS k, MEDIAN(a.n) AS m FROM input AS a, input AS b GROUP BY 1",
    ] {
        let error = run(statement, &[("input", rows.clone())], 4 << 20).unwrap_err();
        assert!(matches!(error, SqlError::Memory { limit: 4194304, .. }), "{statement}: {error}");
        assert!(error.to_string().contains("4.0 MiB") && error.to_string().contains("--memory"), "{error}");
    }
}

#[test]
fn sorts_go_to_the_disk_and_groups_do_not() {
    let rows = df!("n" => (0..200_000i64).map(|n| n * 7919 % 100_003).collect::<Vec<_>>());
    let limits = Limits { memory: 3 << 20, spills: true };
    let on_disk = |statement: &str| whole(|out| crate::run(statement, &[("input", rows.clone())], limits, out));
    for statement in [
        "SELECT n, n % 7 AS k, CONCAT('row ', n) AS t FROM input ORDER BY k DESC, t",
        "SELECT n, ROW_NUMBER() OVER (PARTITION BY n % 1000 ORDER BY n % 77) AS r FROM input",
        "SELECT k, SUM(r) AS s FROM (SELECT n % 5 AS k, ROW_NUMBER() OVER (ORDER BY n % 77) / 3 AS r FROM input) AS q GROUP BY k",
    ] {
        let error = run(statement, &[("input", rows.clone())], limits.memory).unwrap_err();
        assert!(matches!(error, SqlError::Memory { .. }), "{statement}: {error}");
        assert_eq!(on_disk(statement), run(statement, &[("input", rows.clone())], ENOUGH), "{statement}");
    }
    let groups = on_disk(
        "SELECT n, n % 7 AS k, SUM(n * 0.1) AS s, STRING_AGG(CAST(n AS VARCHAR), ', ') AS t FROM input GROUP BY n, k",
    );
    assert!(matches!(groups, Err(SqlError::Memory { .. })), "{groups:?}");
}

#[test]
fn sums_do_not_wrap() {
    let frame = df!("k" => ["a", "a", "b"], "n" => [i64::MAX, 5, 1], "m" => [i64::MAX - 100, -5, 1]);
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
