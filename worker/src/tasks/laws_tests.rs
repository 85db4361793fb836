//! Combiners that keep the law, and such as break it.

use super::*;
use crate::spill::testing::Bench;
use polars::df;
use shardmill_common::schema::Field;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("word", DataType::String),
        Field::new("n", DataType::Int64),
        Field::new("x", DataType::Float64),
    ])
}

fn rows() -> DataFrame {
    let words: Vec<Option<String>> = (0..500).map(|n| (n % 7 > 0).then(|| format!("w{}", n * 31 % 40))).collect();
    let x: Vec<f64> = (0..500).map(|n| f64::from(n * 7 % 101) / 3.0).collect();
    df!("word" => words, "n" => vec![1i64; 500], "x" => x).unwrap()
}

#[test]
fn sums_and_extremes_combine_and_counts_and_means_do_not() {
    let bench = Bench::new();
    let context = bench.context(0, 0);
    let combine = |sql: &str| combiner_holds(&context, sql, &schema(), &rows()).unwrap();
    for good in [
        "SELECT word, SUM(n) AS n, SUM(x) AS x FROM input GROUP BY word",
        "SELECT word, SUM(n) AS n, MAX(x) AS x FROM input GROUP BY word",
        "SELECT DISTINCT word, n, x FROM input",
        "SELECT word, n, x FROM input",
    ] {
        assert_eq!(combine(good), Ok(()), "{good}");
    }
    for bad in [
        "SELECT word, COUNT(*) AS n, SUM(x) AS x FROM input GROUP BY word",
        "SELECT word, SUM(n) AS n, AVG(x) AS x FROM input GROUP BY word",
        "SELECT word, SUM(n) + 1 AS n, SUM(x) AS x FROM input GROUP BY word",
        "SELECT word, SUM(n) AS n, SUM(x * x) AS x FROM input GROUP BY word",
    ] {
        let told = combine(bad).unwrap_err().to_string();
        assert!(told.contains("\"word\":") && told.contains("SUM"), "{bad}: {told}");
    }
    let unique = df!("word" => ["a", "b"], "n" => [1i64, 1], "x" => [0.5, 1.5]).unwrap();
    let counts = "SELECT word, COUNT(*) AS n, SUM(x) AS x FROM input GROUP BY word";
    assert!(combiner_holds(&context, counts, &schema(), &unique).unwrap().is_err(), "even where no key repeats");
    assert_eq!(combiner_holds(&context, counts, &schema(), &rows().slice(0, 0)).unwrap(), Ok(()));
}

#[test]
fn a_reduce_must_look_at_each_key_by_itself() {
    let rows = rows();
    let keys = [HashColumn { name: "word".into(), dtype: Some(DataType::String) }];
    let bench = Bench::new();
    let context = bench.context(0, 0);
    let reduce =
        |sql: &str| reduce_holds(&context, sql, &[("input", &rows), ("other", &rows.slice(0, 100))], &keys).unwrap();
    for good in [
        "SELECT word, COUNT(*) AS n, AVG(x) AS x FROM input GROUP BY word",
        "SELECT input.word, input.n FROM input JOIN other ON input.word = other.word",
        "SELECT word FROM input AS i WHERE NOT EXISTS (SELECT 1 FROM other AS o WHERE o.word = i.word)",
        "SELECT word, x, ROW_NUMBER() OVER (PARTITION BY word ORDER BY x) AS r FROM input",
        "SELECT word, SUM(n) AS n FROM input GROUP BY word ORDER BY n DESC",
    ] {
        assert_eq!(reduce(good), Ok(()), "{good}");
    }
    for bad in [
        "SELECT COUNT(*) AS n FROM input",
        "SELECT word, SUM(n) AS n FROM input GROUP BY word ORDER BY n DESC LIMIT 3",
        "SELECT n, COUNT(*) AS c FROM input GROUP BY n",
        "SELECT word, x, ROW_NUMBER() OVER (ORDER BY x, word) AS r FROM input",
    ] {
        let told = reduce(bad).unwrap_err().to_string();
        assert!(told.contains("beyond one key") && told.contains("(word)"), "{bad}: {told}");
    }
}
