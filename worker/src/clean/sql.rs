//! SQL expressions of `filter` and `derive`: checked so that they see one row at a time and nothing but the dataset.

use polars::prelude::{Column, DataFrame};
use shardmill_common::failure::Failure;
use shardmill_common::rules::{Rule, RuleError};

use crate::sql::{self, SqlError};

/// Functions that look at one row at a time. Any other would see one shard where the user means the dataset.
const FUNCTIONS: [&str; 78] = [
    "abs",
    "ceil",
    "ceiling",
    "div",
    "exp",
    "floor",
    "ln",
    "log",
    "log10",
    "log1p",
    "log2",
    "mod",
    "pi",
    "pow",
    "power",
    "round",
    "sign",
    "sqrt",
    "cbrt",
    "trunc",
    "acos",
    "asin",
    "atan",
    "atan2",
    "cos",
    "cot",
    "degrees",
    "radians",
    "sin",
    "tan",
    "coalesce",
    "greatest",
    "if",
    "ifnull",
    "least",
    "nullif",
    "concat",
    "concat_ws",
    "ends_with",
    "left",
    "length",
    "char_length",
    "character_length",
    "octet_length",
    "bit_length",
    "lower",
    "ltrim",
    "regexp_like",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "starts_with",
    "strpos",
    "position",
    "substr",
    "substring",
    "trim",
    "upper",
    "date_part",
    "strftime",
    "date",
    "timestamp",
    "date_trunc",
    "date_diff",
    "datediff",
    "strptime",
    "split_part",
    "initcap",
    "regexp_extract",
    "regexp_replace",
    "ascii",
    "chr",
    "translate",
    "to_char",
    "nanvl",
    "signum",
    "isnan",
];

/// Whether an expression keeps to one row, or what is wrong with it.
pub fn check(rule: &Rule, text: &str) -> Result<(), RuleError> {
    sql::check_expression(text, &FUNCTIONS).map_err(|e| rule.error(e.to_string()))
}

/// Computes the value of an expression, which calls none but these functions, for every row of a frame.
pub type Expressions<'a> = dyn Fn(&str, &[&str], &DataFrame) -> Result<Result<Column, SqlError>, Failure> + 'a;

/// The value of the expression for every row of the frame, as a stored type.
pub fn evaluate(
    expressions: &Expressions<'_>,
    rule: &Rule,
    text: &str,
    frame: &DataFrame,
    name: &str,
) -> Result<Column, Failure> {
    let wrong = |e: SqlError| match e {
        SqlError::Refused(_) => Failure::bad_input(rule.error(e.to_string())),
        _ => Failure::bad_input(rule.error(format!("`{text}` cannot be computed: {e}"))),
    };
    Ok(expressions(text, &FUNCTIONS, frame)?.map_err(wrong)?.with_name(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;
    use polars::prelude::DataType as PolarsType;
    use shardmill_common::rules::RuleSet;

    fn rule() -> Rule {
        RuleSet::parse("\n[[rule]]\nop='filter'\nsql='x'", "rules.toml").unwrap().rules.remove(0)
    }

    fn run(text: &str) -> Result<Column, String> {
        let frame = df!("a" => [1i64, 2, 3], "b" => [0.5, 1.5, 2.5], "t" => ["x", "y'z", "select"]).unwrap();
        let worker = crate::spill::testing::Bench::new();
        let context = worker.context(0, 0);
        evaluate(&sql::expressions(&context), &rule(), text, &frame, "out").map_err(|e| e.to_string())
    }

    #[test]
    fn expressions_are_computed_as_stored_types() {
        let ints: Vec<_> = run("a * 2 + 1").unwrap().i64().unwrap().iter().collect();
        assert_eq!(ints, [Some(3), Some(5), Some(7)]);
        assert_eq!(run("a / 2").unwrap().dtype(), &PolarsType::Float64);
        assert_eq!(run("CAST(a AS INT)").unwrap().dtype(), &PolarsType::Int64);
        assert_eq!(run("LENGTH(t)").unwrap().dtype(), &PolarsType::Int64);
        assert_eq!(run("NULL").unwrap().dtype(), &PolarsType::String);
        assert_eq!(run("1").unwrap().len(), 3);
        for sql in [
            "UPPER(t) = 'X'",
            "t = 'select (' OR t LIKE 'y%'",
            "a IN (1, 2)",
            "CASE WHEN a > 1 THEN 'big' ELSE 'small' END",
            "a BETWEEN 1 AND 2 AND NOT (b > 1)",
            "COALESCE(b, 0)",
            "t = 'y''z'",
            "\"a\" + 1",
            "a IS NOT NULL",
            "CONCAT(t, '!')",
            "ROUND(b, 1)",
            "TRIM(t)",
            "a % 2",
            "t || 'x'",
            "CAST('2024-01-01' AS DATE)",
            "SUBSTR(t, 1, 1)",
            "ABS(b)",
            "SQRT(b)",
            "GREATEST(a, b)",
            "NULLIF(a, 1)",
            "REPLACE(t, 'x', 'y')",
            "TIMESTAMP '2024-01-01 00:00:00'",
        ] {
            assert!(run(sql).is_ok(), "{sql}: {:?}", run(sql));
        }
    }

    #[test]
    fn every_function_that_is_allowed_exists() {
        let tries = |f: &str| {
            [
                "{}(b)",
                "{}(b, a)",
                "{}(a, 2)",
                "{}(a)",
                "{}(t, 'x', 1)",
                "{}('2024-01-01', '%Y-%m-%d')",
                "{}('day', CAST('2024-01-01' AS DATE), CAST('2024-02-01' AS DATE))",
                "{}(t)",
                "{}(t, 'x')",
                "{}(t, 1)",
                "{}(t, 'x', 'y')",
                "{}('x' IN t)",
                "{}()",
                "{}(a > 1, 1, 2)",
                "{}('-', t, t)",
                "{}('year', CAST('2024-01-01' AS DATE))",
                "{}(CAST('2024-01-01' AS DATE), '%Y')",
                "{}('2024-01-01')",
                "{}('2024-01-01 00:00:00')",
            ]
            .iter()
            .map(|call| run(&call.replace("{}", f)))
            .any(|r| r.is_ok())
        };
        let missing: Vec<_> = FUNCTIONS.iter().filter(|f| !tries(f)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn files_subqueries_and_other_rows_are_out_of_reach() {
        for sql in [
            "a IN (SELECT x FROM read_parquet('/etc/passwd'))",
            "a IN (FROM read_parquet('/etc/passwd'))",
            "a IN (sElEcT 1)",
            "(SELECT 1)",
            "EXISTS (SELECT 1)",
            "read_csv('/etc/passwd')",
            "read_parquet ('/etc/passwd')",
            "a > ANY (SELECT 1)",
            "a IN (TABLE x)",
            "a IN (VALUES (1))",
            "a IN (WITH x AS (SELECT 1) SELECT 1)",
            "SUM(a)",
            "a - AVG(a)",
            "COUNT(*)",
            "ROW_NUMBER() OVER (ORDER BY a)",
            "LAG(a)",
            "FIRST_VALUE(a)",
            "*",
            "COLUMNS('a')",
            "a; DROP TABLE x",
            "a FROM x",
            "RANDOM()",
            "\"sum\"(a)",
            "\"row_number\" ()",
        ] {
            let error = run(sql).expect_err(sql);
            assert!(error.starts_with("rules.toml:2: filter: "), "{error}");
        }
    }

    #[test]
    fn mistakes_name_rule_and_columns() {
        assert_eq!(
            run("amount > 0").unwrap_err(),
            "rules.toml:2: filter: there is no column `amount`; the columns are a, b, t (line 1, column 1)\n  amount > 0\n  ^"
        );
        assert!(run("a >").unwrap_err().starts_with("rules.toml:2: filter: this is not a SQL expression"));
        assert!(run("t = 'x").unwrap_err().contains("unterminated string literal (line 1, column 5)"));
        assert!(run("a + t = 1").unwrap_err().contains("cannot be computed"), "{:?}", run("a + t = 1"));
        let error = run("INTERVAL '1 month'").unwrap_err();
        assert!(error.contains("which is not stored; take a number out of it"), "{error}");
        let error = run("a * 9223372036854775807").unwrap_err();
        assert!(error.contains("2 * 9223372036854775807 goes beyond 64 bits"), "{error}");
        assert!(run("CAST(t AS BIGINT)").unwrap_err().contains("`x` is no whole number"));
        assert_eq!(
            run(&"1 + ".repeat(3000)).unwrap_err(),
            "rules.toml:2: filter: the expression is longer than 10000 bytes"
        );
    }
}
