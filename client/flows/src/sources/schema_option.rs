//! `--schema` and `--types`: columns and their types, as `a=int64,b=string`, or in a JSON or TOML file named `@file`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use shardmill_common::lists;
use shardmill_common::misread::Misread;
use shardmill_common::schema::{DataType, Field, Schema};

/// Why `--schema` cannot be taken.
#[derive(Debug, thiserror::Error)]
#[error("{}{fault}", .file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default())]
pub struct SchemaError {
    /// Where it was to be read from, if it is in a file.
    pub file: Option<String>,
    pub fault: SchemaFault,
}

/// What is wrong with the columns and types that are named.
#[derive(Debug, thiserror::Error)]
pub enum SchemaFault {
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    #[error("a column has no name")]
    Nameless,
    #[error("column `{0}` is named twice")]
    Repeated(String),
    #[error("column `{column}`: {misread}")]
    Type { column: String, misread: Misread },
    #[error("it names no columns; write it as a=int64,b=string or @file.json")]
    Empty,
    #[error("`{0}` is not name=type; write it as a=int64,b=string or @file.json")]
    NotAPair(String),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("write it as {{\"a\": \"int64\"}} or [{{\"name\": \"a\", \"type\": \"int64\"}}]")]
    JsonShape,
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error("column `{0}`: write its type in quotes, as in {0} = \"int64\"")]
    Unquoted(String),
}

/// Reads the option. The order of the columns is the order in which they are written.
pub fn parse(text: &str) -> Result<Schema, SchemaError> {
    let wrong = |fault| SchemaError { file: None, fault };
    let Some(file) = text.strip_prefix('@') else {
        let pairs = if text.trim_start().starts_with(['{', '[']) { from_json(text) } else { from_list(text) };
        return build(pairs.map_err(wrong)?).map_err(wrong);
    };
    let wrong = |fault| SchemaError { file: Some(file.to_owned()), fault };
    let content = std::fs::read_to_string(file).map_err(|e| wrong(SchemaFault::Unreadable(e)))?;
    let pairs = if file.ends_with(".toml") { from_toml(&content) } else { from_json(&content) };
    pairs.and_then(build).map_err(wrong)
}

type Pairs = Vec<(String, String)>;

fn build(pairs: Pairs) -> Result<Schema, SchemaFault> {
    let mut schema = Schema::default();
    for (name, dtype) in pairs {
        if name.is_empty() {
            return Err(SchemaFault::Nameless);
        }
        if schema.get(&name).is_some() {
            return Err(SchemaFault::Repeated(name));
        }
        match dtype.parse() {
            Ok(DataType::Null) => {
                let wanted = "the type of columns without values, which nobody has to name";
                return Err(SchemaFault::Type { column: name, misread: Misread::new(&dtype, wanted) });
            }
            Ok(dtype) => schema.fields.push(Field::new(name, dtype)),
            Err(misread) => return Err(SchemaFault::Type { column: name, misread }),
        }
    }
    if schema.is_empty() { Err(SchemaFault::Empty) } else { Ok(schema) }
}

fn from_list(text: &str) -> Result<Pairs, SchemaFault> {
    let pair = |part: &str| {
        // The last `=` parts them: a column's name may have one, a type has none.
        let pair = lists::rsplit_once(part, '=');
        let (name, dtype) = pair.ok_or_else(|| SchemaFault::NotAPair(part.trim().to_owned()))?;
        Ok((lists::name(name), dtype.trim().to_owned()))
    };
    lists::parts(text).into_iter().filter(|p| !p.trim().is_empty()).map(pair).collect()
}

/// `{"a": "int64"}` in the order of the file, or `[{"name": "a", "type": "int64"}]`, as `dataset show --json` prints it.
fn from_json(text: &str) -> Result<Pairs, SchemaFault> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Either {
        Map(Ordered),
        List(Vec<Column>),
    }
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Column {
        name: String,
        #[serde(rename = "type")]
        dtype: String,
        /// What is known of the values of a dataset whose schema was shown.
        #[serde(default, rename = "beyond_float")]
        _beyond_float: bool,
    }
    if text.trim_start().starts_with('{') {
        return Ok(serde_json::from_str::<Ordered>(text)?.0);
    }
    match serde_json::from_str::<Either>(text) {
        Ok(Either::Map(map)) => Ok(map.0),
        Ok(Either::List(list)) => Ok(list.into_iter().map(|c| (c.name, c.dtype)).collect()),
        Err(e) if e.is_data() => Err(SchemaFault::JsonShape),
        Err(e) => Err(e.into()),
    }
}

/// `a = "int64"`, a line a column.
fn from_toml(text: &str) -> Result<Pairs, SchemaFault> {
    let table = toml::de::DeTable::parse(text)?;
    let mut pairs = Vec::new();
    for (name, value) in table.get_ref() {
        let Some(dtype) = value.get_ref().as_str() else {
            return Err(SchemaFault::Unquoted(name.get_ref().to_string()));
        };
        pairs.push((name.span().start, (name.get_ref().to_string(), dtype.to_owned())));
    }
    // Tables are sorted by name when read; the file's order is the user's.
    pairs.sort_by_key(|(at, _)| *at);
    Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
}

/// A JSON object whose entries keep their order, and whose repeats are kept to be complained of.
struct Ordered(Pairs);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of column names and types")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(schema: &Schema) -> String {
        schema.fields.iter().map(|f| format!("{}={}", f.name, f.dtype)).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn lists_and_files_keep_their_order() {
        let expected = "z=int64,a=string,m=datetime_utc";
        assert_eq!(shown(&parse("z=int, a=text ,m=datetime_utc").unwrap()), expected);
        assert_eq!(parse("a=b=int64").unwrap().fields[0], Field::new("a=b", DataType::Int64));
        assert_eq!(shown(&parse("p=decimal(10, 2),b=string").unwrap()), "p=decimal(10,2),b=string");
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("s.json", r#"{"z": "int64", "a": "string", "m": "datetime_utc"}"#),
            (
                "l.json",
                r#"[{"name":"z","type":"int64"},{"name":"a","type":"string"},{"name":"m","type":"datetime_utc"}]"#,
            ),
            ("s.toml", "z = \"int64\"\na = \"string\"\nm = \"datetime_utc\"\n"),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert_eq!(shown(&parse(&format!("@{}", path.display())).unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("a", "not name=type"),
            ("a=number", "`number` is not a type"),
            ("a=null", "`null` is the type of columns without values"),
            ("a=decimal(40,2)", "not a decimal type"),
            ("a=int64,a=string", "named twice"),
            ("", "names no columns"),
            ("=int64", "no name"),
            ("{\"a\":\"int64\",\"a\":\"date\"}", "named twice"),
            ("{\"a\":", "EOF"),
            ("@/no/such/file.json", "cannot be read"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }
}
