//! Runs statements that come as lines of JSON, `{"statement": "...", "tables": {"name": "path of an Arrow file"}}`, and answers each
//! with a line: `{"columns": [...], "rows": [[...]]}` with all values as text, or `{"error": "..."}`. For comparisons with other engines.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write};

use arrow::array::{Array, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::DataType;
use arrow::ipc::reader::FileReader;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};
use shardmill_common::schema::{DataType as Stored, Field, Schema};
use shardmill_sql::{Limits, arrow_schema, check, run};

#[derive(serde::Deserialize)]
struct Question {
    statement: String,
    tables: BTreeMap<String, String>,
}

/// The file's rows in stored types.
fn table(path: &str) -> Result<(Schema, RecordBatch), Box<dyn Error>> {
    let reader = FileReader::try_new(File::open(path)?, None)?;
    let found = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let rows = concat_batches(&found, &batches)?;
    let stored = |dtype: &DataType| match dtype {
        DataType::Boolean => Stored::Boolean,
        DataType::Date32 => Stored::Date,
        DataType::Timestamp(_, None) => Stored::Datetime,
        dtype if dtype.is_integer() => Stored::Int64,
        dtype if dtype.is_floating() => Stored::Float64,
        _ => Stored::String,
    };
    let fields = found.fields().iter().map(|f| Field::new(f.name().as_str(), stored(f.data_type())));
    let schema = Schema::new(fields.collect());
    let wanted = arrow_schema(&schema);
    let columns = rows.columns().iter().zip(wanted.fields()).map(|(column, field)| cast(column, field.data_type()));
    Ok((schema, RecordBatch::try_new(wanted.clone(), columns.collect::<Result<_, _>>()?)?))
}

fn answer(question: &Question, known: &mut HashMap<String, (Schema, RecordBatch)>) -> Result<Value, Box<dyn Error>> {
    for path in question.tables.values() {
        if !known.contains_key(path) {
            known.insert(path.clone(), table(path)?);
        }
    }
    let tables: Vec<(&str, &(Schema, RecordBatch))> =
        question.tables.iter().filter_map(|(name, path)| Some((name.as_str(), known.get(path)?))).collect();
    let schemas: Vec<(&str, &Schema)> = tables.iter().map(|(name, table)| (*name, &table.0)).collect();
    check(&question.statement, &schemas)?;
    let rows: Vec<(&str, RecordBatch)> = tables.iter().map(|(name, table)| (*name, table.1.clone())).collect();
    let made = run(&question.statement, &rows, Limits { memory: 1 << 30, stop: &|| false })?;
    let options = FormatOptions::default();
    let shown = made.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    let cell = |row: usize, column: usize| match (made.columns().get(column), shown.get(column)) {
        (Some(cells), Some(shown)) if cells.is_valid(row) => json!(shown.value(row).to_string()),
        _ => Value::Null,
    };
    let all = (0..made.num_rows()).map(|row| (0..made.num_columns()).map(|c| cell(row, c)).collect::<Vec<_>>());
    let columns: Vec<String> = made.schema().fields().iter().map(|f| f.name().clone()).collect();
    Ok(json!({"columns": columns, "rows": all.collect::<Vec<_>>()}))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut known = HashMap::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&line?)?;
        let said = answer(&question, &mut known).unwrap_or_else(|e| json!({"error": e.to_string()}));
        writeln!(out, "{said}")?;
        out.flush()?;
    }
    Ok(())
}
