//! What statements mean where engines differ; the values are DuckDB's unless a line says otherwise.

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::testing::{df, run};

/// The values of an expression as text, null as `null`.
fn value(expression: &str) -> Result<String, String> {
    let rows = df!("n" => [7i64], "x" => [2.5f64], "t" => ["hello"], "none" => [None::<i64>], "max" => [i64::MAX]);
    let statement = format!("SELECT {expression} AS v FROM input");
    let made = run(&statement, &[("input", rows)], 1 << 30).map_err(|e| e.to_string())?;
    let column = made.column(0);
    let shown = ArrayFormatter::try_new(column, &FormatOptions::default().with_null("null")).unwrap();
    Ok((0..column.len()).map(|row| shown.value(row).to_string()).collect::<Vec<_>>().join(","))
}

#[test]
fn expressions_have_the_values_that_people_expect() {
    let cases = [
        ("7 / 2", "3.5"),
        ("n / 2", "3.5"),
        ("-7 / 2", "-3.5"),
        ("n // 2", "3"),
        ("-7 // 2", "-3"),
        ("n // 0", "null"),
        ("n / 0", "inf"),
        ("0 / -7 = 0", "true"),
        ("CAST(0 / 0 AS VARCHAR)", "NaN"),
        ("n % 0", "null"),
        ("-7 % 3", "-1"),
        ("MOD(n, 4)", "3"),
        ("DIV(n, 2)", "3"),
        ("x % 2", "0.5"),
        ("none + 1", "null"),
        ("none / 2", "null"),
        ("NULL + 1", "null"),
        ("CAST(x AS INT)", "2"),
        ("CAST(3.5 AS BIGINT)", "4"),
        ("CAST(-2.5 AS BIGINT)", "-2"),
        ("x::INT", "2"),
        ("CAST(' 12 ' AS INT)", "12"),
        ("TRY_CAST('abc' AS INT)", "null"),
        ("TRY_CAST(max AS INT)", "null"),
        ("CAST(TRUE AS INT)", "1"),
        ("ROUND(2.5)", "3.0"),
        ("ROUND(-2.5)", "-3.0"),
        ("TRUNC(-2.7)", "-2.0"),
        ("SUBSTR(t, 0, 2)", "h"),
        ("SUBSTR(t, -3, 2)", "ll"),
        ("SUBSTR('10', -3, 2)", "1"),
        ("GREATEST(ARRAY_LENGTH(STRING_TO_ARRAY('a,b', ',')), n)", "7"),
        ("SUBSTR(t, 0)", "hello"),
        ("SUBSTR(t, 2)", "ello"),
        ("SUBSTRING(t FROM 2 FOR 2)", "el"),
        ("SUBSTR('größe', 4, 1)", "ß"),
        ("LEFT(t, -1)", "hell"),
        ("SPLIT_PART('a,b,c', ',', -1)", "c"),
        ("SPLIT_PART('a', ',', 9)", ""),
        ("LPAD(t, 7, '*')", "**hello"),
        ("REPEAT('ab', 3)", "ababab"),
        ("REPLACE(t, 'l', '')", "heo"),
        ("ARRAY_TO_STRING(RANGE(3), ',')", "0,1,2"),
        ("ARRAY_TO_STRING(GENERATE_SERIES(1, 7, 3), ',')", "1,4,7"),
        ("CAST(LN(0) AS VARCHAR)", "-inf"),
        ("CAST(LN(-1) AS VARCHAR)", "NaN"),
        ("SIGN(-2.5)", "-1.0"),
        ("LOG(100)", "2.0"),
        ("GREATEST(1, NULL)", "1"),
        ("CONCAT('a', NULL)", "a"),
        ("'a' || NULL", "null"),
        ("IF(n > 5, 'many', 'few')", "many"),
        ("IFNULL(none, 5)", "5"),
        ("1 = 1.0", "true"),
        ("(none > 1) IS NOT TRUE", "true"),
        ("n NOT IN (1, NULL)", "null"),
        ("'a_b' LIKE 'a!_b' ESCAPE '!'", "true"),
        ("'axb' LIKE 'a!_b' ESCAPE '!'", "false"),
        ("'50%' LIKE '%!%' ESCAPE '!'", "true"),
        ("'a\\b' LIKE 'a\\b' ESCAPE '!'", "true"),
        ("'A!b' NOT ILIKE 'a!!B' ESCAPE '!'", "false"),
        ("DATE_DIFF('day', DATE '2024-01-31', DATE '2024-03-01')", "30"),
        ("DATE_DIFF('month', DATE '2024-01-31', DATE '2024-03-01')", "2"),
        ("DATEDIFF('hour', TIMESTAMP '2024-01-01 00:59:00', TIMESTAMP '2024-01-01 01:01:00')", "1"),
        ("DATE_DIFF('week', DATE '2024-01-03', DATE '2024-01-09')", "0"),
        ("DATE_DIFF('week', DATE '2024-01-03', DATE '2024-01-10')", "1"),
        ("EXTRACT(DAY FROM AGE(DATE '2024-01-31', DATE '2024-01-01'))", "30"),
        ("EXTRACT(MONTH FROM AGE(DATE '2024-03-01', DATE '2024-01-31'))", "1"),
        ("EXTRACT(MONTH FROM AGE(DATE '2023-01-01', DATE '2024-03-01'))", "-2"),
        ("DATE '2024-02-01' - DATE '2024-01-01'", "31"),
        // As PostgreSQL; a date in DuckDB.
        ("DATE_TRUNC('month', DATE '2024-02-05')", "2024-02-01T00:00:00"),
        ("STRPTIME('31/01/2024', '%d/%m/%Y')", "2024-01-31T00:00:00"),
        ("STRFTIME(DATE '2024-01-31', '%Y/%m/%d')", "2024/01/31"),
        ("EXTRACT(ISODOW FROM DATE '2024-01-31')", "3"),
        ("EXTRACT(DOW FROM DATE '2024-01-28')", "0"),
        ("EXTRACT(EPOCH FROM TIMESTAMP '2024-01-01 00:00:01.5')", "1704067201.5"),
        ("CAST('0001-01-01' AS TIMESTAMP)", "0001-01-01T00:00:00"),
        ("REGEXP_EXTRACT('abc', '(b)(c)', 2)", "c"),
        // DuckDB has an empty text here, and replaces the first match only.
        ("REGEXP_EXTRACT('abc', 'x')", "null"),
        ("REGEXP_REPLACE('aXbX', 'X', 'y')", "ayby"),
        ("REGEXP_REPLACE('aXbX', 'X', 'y', 'g')", "ayby"),
        ("REGEXP_REPLACE('http://www.a.org/b', '^https?://(?:www\\.)?([^/]+)/.*$', '\\1')", "a.org"),
        ("REGEXP_REPLACE('a1b2', '([a-z])([0-9])', '\\2\\1$1\\0')", "1a$1a12b$1b2"),
        ("REGEXP_REPLACE('x', 'x', 'a\\\\b\\&$5\\')", "a\\bx$5\\"),
        ("STRLEN('é')", "2"),
        ("ARRAY_TO_STRING(STRING_TO_ARRAY('a,b', ','), '-')", "a-b"),
        ("ARRAY_LENGTH(STRING_TO_ARRAY('', ','))", "1"),
    ];
    let made = cases.map(|(expression, expected)| (expression, value(expression), Ok(expected.to_owned())));
    let wrong: Vec<_> = made.iter().filter(|(_, got, expected)| got != expected).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_too_large_is_an_error_that_shows_it() {
    for (expression, said) in [
        ("max + 1", "9223372036854775807 + 1 goes beyond 64 bits"),
        ("max * 2", "9223372036854775807 * 2 goes beyond"),
        ("SQRT(-1)", "cannot take square root of a negative number"),
        ("-2 - max", "-2 - 9223372036854775807 goes beyond"),
        ("CAST(1e20 AS BIGINT)", "is no whole number of 64 bits"),
        ("CAST('abc' AS INT)", "`abc` is no whole number"),
        ("CAST(max AS INT)", "9223372036854775807"),
        ("LPAD(t, 2000000000, 'x')", "LPAD would make 1.9 GiB of some rows; a statement may make 256.0 MiB"),
        ("REPEAT(t, 1000000000)", "REPEAT would make"),
        ("REPLACE(REPEAT(t, 100000), '', REPEAT(t, 100000))", "REPLACE would make"),
        ("ARRAY_LENGTH(RANGE(max))", "RANGE would make"),
        ("ARRAY_LENGTH(GENERATE_SERIES(-5, max, 3))", "GENERATE_SERIES would make"),
        ("ARRAY_LENGTH(ARRAY_REPEAT(t, 1000000000))", "ARRAY_REPEAT would make"),
    ] {
        let error = value(expression).expect_err(expression);
        assert!(error.contains(said), "{expression}: {error}");
    }
}

#[test]
fn a_list_with_more_than_literals_keeps_what_a_null_among_them_says() {
    let rows = df!("a" => [0i64, 0, 0, 1], "b" => [Some(true), Some(false), None, None]);
    let statement = "SELECT z.a, CAST(z.a > 0 AS BIGINT) NOT IN (1, CASE WHEN x.b THEN -2 END, 4) AS c, \
                     z.a IN (7, z.a + 1) AS d, z.a NOT IN (NULL, z.a) AS e \
                     FROM (SELECT * FROM input WHERE b) AS x FULL JOIN input AS z ON x.b = z.b ORDER BY z.a, c";
    let made = run(statement, &[("input", rows)], 1 << 30).unwrap();
    let shown = |at: usize| {
        let column = ArrayFormatter::try_new(made.column(at), &FormatOptions::default().with_null("null")).unwrap();
        (0..made.num_rows()).map(|row| column.value(row).to_string()).collect::<Vec<_>>().join(",")
    };
    assert_eq!(shown(0), "0,0,0,1");
    assert_eq!(shown(1), "true,null,null,false");
    assert_eq!((shown(2), shown(3)), ("false,false,false,false".to_owned(), "false,false,false,false".to_owned()));
}
