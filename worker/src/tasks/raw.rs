//! Rows that were never text, as people see them among the rejects.

use polars::prelude::{AnyValue, DataFrame};
use serde_json::Value;

/// A row's text is kept up to this many bytes.
const RAW_BYTES: usize = 4096;

/// A row as one line of JSON, for people to look at.
pub fn row_as_json(frame: &DataFrame, row: usize) -> String {
    let mut map = serde_json::Map::new();
    for column in frame.columns() {
        let value = match column.get(row) {
            Err(_) | Ok(AnyValue::Null) => Value::Null,
            Ok(AnyValue::Boolean(b)) => b.into(),
            Ok(AnyValue::Int64(n)) => n.into(),
            Ok(AnyValue::Float64(x)) => {
                serde_json::Number::from_f64(x).map_or_else(|| x.to_string().into(), Value::Number)
            }
            Ok(AnyValue::String(s)) => s.into(),
            Ok(AnyValue::StringOwned(s)) => s.as_str().into(),
            Ok(other) => other.to_string().into(),
        };
        map.insert(column.name().to_string(), value);
    }
    let mut text = Value::Object(map).to_string();
    if text.len() > RAW_BYTES {
        let cut = (0..=RAW_BYTES).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{NamedFrom, Series};

    #[test]
    fn a_row_is_an_object_that_is_cut_off_where_it_is_long() {
        let columns = vec![
            Series::new("n".into(), [Some(1i64), None]).into(),
            Series::new("x".into(), [0.5, f64::INFINITY]).into(),
            Series::new("t".into(), ["a\"b".to_owned(), "ä".repeat(5000)]).into(),
        ];
        let frame = DataFrame::new(2, columns).unwrap();
        assert_eq!(row_as_json(&frame, 0), r#"{"n":1,"t":"a\"b","x":0.5}"#);
        let long = row_as_json(&frame, 1);
        assert!(long.starts_with(r#"{"n":null,"#) && long.ends_with('…') && long.len() <= RAW_BYTES + 3, "{long}");
    }
}
