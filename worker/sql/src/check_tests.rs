//! What statements are refused, and where their mistakes are marked.

use super::*;
use shardmill_common::schema::DataType;

fn schema(columns: &[(&str, DataType)]) -> Schema {
    Schema::new(columns.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect())
}

fn input() -> Schema {
    schema(&[("k", DataType::String), ("n", DataType::Int64), ("x", DataType::Float64), ("Größe", DataType::Int64)])
}

fn other() -> Schema {
    schema(&[("k", DataType::String), ("at", DataType::DATETIME)])
}

fn look(statement: &str) -> Result<Statement, String> {
    check(statement, &[("input", &input()), ("other", &other())]).map_err(|e| e.to_string())
}

#[test]
fn queries_over_the_tables_are_allowed() {
    for (statement, columns) in [
        ("SELECT * FROM input", "k, n, x, Größe"),
        ("select k, count(*) as n from input group by k;", "k, n"),
        ("WITH a AS (SELECT k FROM input), b AS (SELECT k FROM a) SELECT k FROM b", "k"),
        ("SELECT k FROM input UNION ALL SELECT k FROM other", "k"),
        ("SELECT k FROM input EXCEPT SELECT k FROM other", "k"),
        ("SELECT i.k, o.at FROM input AS i JOIN other AS o ON i.k = o.k", "k, at"),
        ("SELECT k, at FROM input LEFT JOIN other USING (k)", "k, at"),
        ("SELECT k FROM input WHERE k IN (SELECT k FROM other)", "k"),
        ("SELECT k FROM input AS i WHERE NOT EXISTS (SELECT 1 FROM other AS o WHERE o.k = i.k)", "k"),
        ("SELECT * FROM (SELECT k, n FROM input) AS t WHERE n > 1", "k, n"),
        ("SELECT UNNEST(WORDS(k)) AS word FROM input", "word"),
        ("SELECT UNNEST(STRING_TO_ARRAY(k, ' ')) AS word, n FROM input", "word, n"),
        ("SELECT k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS r FROM input", "k, r"),
        ("SELECT k, \"Größe\" FROM input -- a remark", "k, Größe"),
    ] {
        let found = look(statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
        assert_eq!(found.schema.names_joined(), columns, "{statement}");
    }
}

#[test]
fn files_table_functions_and_other_statements_are_out_of_reach() {
    for statement in [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('/etc/passwd') AS t",
        "SELECT * FROM READ_IPC('x')",
        "SELECT * FROM read_json('x')",
        "SELECT * FROM 'file.csv'",
        "SELECT * FROM \"file.csv\"",
        "SELECT * FROM `file.csv`",
        "SELECT * FROM input JOIN read_csv('x') AS t ON input.k = t.k",
        "SELECT k FROM input WHERE k IN (SELECT a FROM read_csv('x'))",
        "SELECT (SELECT MAX(a) FROM read_csv('x')) AS m FROM input",
        "SELECT k FROM input WHERE EXISTS (SELECT 1 FROM read_csv('x') AS t WHERE t.k = input.k)",
        "WITH a AS (SELECT * FROM read_csv('x')) SELECT * FROM a",
        "WITH a AS (WITH b AS (SELECT * FROM read_csv('x')) SELECT * FROM b) SELECT * FROM a",
        "SELECT * FROM (SELECT * FROM (SELECT * FROM scan_csv('x')) AS a) AS b",
        "SELECT k FROM input UNION SELECT k FROM read_csv('x')",
        "SELECT k FROM input EXCEPT (SELECT k FROM read_csv('x'))",
        "(SELECT * FROM read_csv('x'))",
        "SELECT * FROM TABLE(read_csv('x'))",
        "SELECT * FROM LATERAL read_csv('x') AS t",
        "SELECT * FROM input, LATERAL (SELECT * FROM read_csv('x')) AS t",
        "SELECT * FROM input ORDER BY (SELECT MAX(a) FROM read_csv('x'))",
        "SELECT k FROM input GROUP BY k HAVING COUNT(*) > (SELECT MAX(a) FROM read_csv('x'))",
        "FROM read_csv('x')",
        "TABLE read_csv",
        "SELECT * FROM db.input",
        "SELECT * FROM input.k",
        "SELECT * INTO t FROM input",
        "SELECT * FROM input FOR UPDATE",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t AS SELECT * FROM input",
        "DROP TABLE input",
        "DELETE FROM input",
        "TRUNCATE TABLE input",
        "INSERT INTO input VALUES (1)",
        "UPDATE input SET n = 1",
        "EXPLAIN SELECT * FROM input",
        "SHOW TABLES",
        "SET x = 1",
        "COPY input TO 'x'",
        "WITH a AS (DELETE FROM input) SELECT * FROM a",
        "WITH a AS (INSERT INTO input VALUES (1)) SELECT * FROM a",
        "SELECT RANDOM() AS r FROM input",
        "SELECT k FROM input WHERE x > RAND()",
        "SELECT NOW() AS t FROM input",
        "SELECT CURRENT_TIMESTAMP AS t FROM input",
        "SELECT k FROM (SELECT k, CURRENT_DATE AS d FROM input) AS t",
        "PRAGMA x",
        "VACUUM",
        "",
        "  -- nothing",
        "SELECT",
        "SELEC k FROM input",
    ] {
        assert!(look(statement).is_err(), "{statement}");
    }
    let told = look("SELECT k FROM input WHERE k IN (SELECT a FROM read_csv('x'))").unwrap_err();
    assert!(told.contains("table function") && told.contains("read_csv"), "{told}");
    assert!(look("SELECT * FROM 'file.csv'").unwrap_err().contains("--input"));
    assert!(look("SELECT RANDOM() AS r FROM input").unwrap_err().contains("every try"));
    assert!(look("SELECT 1; SELECT 2").unwrap_err().contains("one query"));
    assert!(look("DROP TABLE input").unwrap_err().contains("`DROP` is not a query"));
}

/// The text under the mark.
fn marked(message: &str) -> String {
    let lines: Vec<&str> = message.lines().collect();
    let [.., line, mark] = lines[..] else { panic!("no mark: {message}") };
    let at = mark.chars().position(|c| c == '^').unwrap_or_else(|| panic!("no mark: {message}"));
    line.chars().skip(at).take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn mistakes_are_marked_where_they_are() {
    for (statement, place, said) in [
        ("SELECT k FROM nowhere", "nowhere", "the statement sees `input`, `other`"),
        (
            "SELECT k,\n  price\nFROM input",
            "price",
            "there is no column `price`; the columns of `input` are k, n, x, Größe",
        ),
        ("SELECT k FROM input WHERE prise > 1", "prise", "there is no column `prise`"),
        ("SELECT input.nope FROM input", "nope", "nope"),
        ("SELECT k FROM input GROUP BY k ORDER BY z", "z", "there is no column `z`"),
        ("SELECT FOO(k) AS f FROM input", "FOO", "there is no function `FOO`"),
        ("SELECT k FROM input WHERE", "", "not SQL"),
        ("SELECT k k2 k3 FROM input", "k3", "not SQL"),
        ("SELECT k FROM input; SELECT n FROM input", "SELECT", "second statement"),
        ("SELECT n, x AS n FROM input", "n", "two columns of the result have the name `n`"),
        (
            "SELECT input.k, other.k FROM input JOIN other ON input.k = other.k",
            "k",
            "two columns of the result have the name `k`",
        ),
        ("SELECT k FROM input JOIN other ON input.k = other.k", "k", "may be one of several columns"),
        ("SELECT k, ARRAY_AGG(n) AS many FROM input GROUP BY k", "many", "UNNEST"),
        ("WITH input AS (SELECT k FROM other) SELECT * FROM input", "input", "another name"),
        ("SELECT k FROM READ_CSV('x')", "READ_CSV", "table function"),
    ] {
        let told = look(statement).err().unwrap_or_else(|| panic!("{statement} was accepted"));
        assert!(told.contains(said), "{statement}: {told}");
        if !place.is_empty() {
            assert_eq!(marked(&told), place, "{statement}:\n{told}");
        }
    }
}

#[test]
fn columns_may_have_names_of_sql() {
    let table = schema(&[("user", DataType::String), ("order", DataType::Int64), ("group", DataType::Int64)]);
    check("SELECT user, \"order\", \"group\" FROM input ORDER BY \"order\"", &[("input", &table)]).unwrap();
}

#[test]
fn the_order_of_a_statement_is_known_where_it_is_of_its_columns() {
    let order = |sql: &str| look(sql).unwrap().order;
    assert_eq!(order("SELECT k, n FROM input"), []);
    assert_eq!(
        order("SELECT k, n FROM input ORDER BY n DESC, 1"),
        [("n".to_owned(), true, false), ("k".to_owned(), false, true)]
    );
    assert_eq!(order("SELECT k FROM input ORDER BY n % 2"), []);
}

#[test]
fn types_are_those_that_are_stored() {
    let found = look("SELECT k, COUNT(*) AS n, AVG(n) AS m, MIN(n) AS least, NULL AS nothing FROM input GROUP BY k");
    let types: Vec<DataType> = found.unwrap().schema.fields.iter().map(|f| f.dtype).collect();
    let (text, int, float) = (DataType::String, DataType::Int64, DataType::Float64);
    assert_eq!(types, [text, int, float, int, text]);
}

#[test]
fn parameters_without_values_are_refused() {
    let input = Schema::new(vec![Field::new("n", DataType::Int64)]);
    for statement in ["SELECT ? AS x FROM input", "SELECT n FROM input WHERE n > $1", "SELECT n FROM input LIMIT ?"] {
        let error = check(statement, &[("input", &input)]).unwrap_err().to_string();
        assert!(error.contains("a parameter has no value here") && error.contains("(line 1, column"), "{error}");
    }
}

#[test]
fn deep_and_long_statements_do_no_harm() {
    let deep = format!("SELECT {}n{} AS n FROM input", "(".repeat(3000), ")".repeat(3000));
    assert!(look(&deep).is_err());
    let wide = format!("SELECT {} AS n FROM input", vec!["n"; 8000].join("+"));
    let _ = look(&wide);
    let nested = (0..500).fold("SELECT k FROM input".to_owned(), |sql, n| format!("SELECT k FROM ({sql}) AS t{n}"));
    let _ = look(&nested);
    let many = format!("SELECT k FROM input{}", " UNION ALL SELECT k FROM input".repeat(900));
    let _ = look(&many);
    assert!(look(&format!("SELECT '{}' AS t FROM input", "x".repeat(40_000))).unwrap_err().contains("longer"));
}
