//! Column types, schemas, and the lattice by which files of differing types are joined.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::misread::Misread;

/// The type of a column. Every reader maps its source's types onto these seven; nothing else is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataType {
    /// No value was ever seen; joins with every type. Rows have such a column as text.
    Null,
    Boolean,
    Int64,
    Float64,
    Date,
    /// Microseconds since 1970 without a zone.
    Datetime,
    /// Microseconds since 1970 UTC, written with an offset or `Z`.
    DatetimeUtc,
    String,
}

impl DataType {
    pub const fn name(self) -> &'static str {
        match self {
            DataType::Null => "null",
            DataType::Boolean => "boolean",
            DataType::Int64 => "int64",
            DataType::Float64 => "float64",
            DataType::Date => "date",
            DataType::Datetime => "datetime",
            DataType::DatetimeUtc => "datetime_utc",
            DataType::String => "string",
        }
    }

    /// The narrowest type that holds the values of both without loss; text holds everything.
    pub fn join(self, other: DataType) -> DataType {
        use DataType::{Date, Datetime, Float64, Int64, Null, String};
        match (self, other) {
            (a, b) if a == b => a,
            (Null, t) | (t, Null) => t,
            (Int64, Float64) | (Float64, Int64) => Float64,
            (Date, Datetime) | (Datetime, Date) => Datetime,
            _ => String,
        }
    }

    pub const fn is_numeric(self) -> bool {
        matches!(self, DataType::Int64 | DataType::Float64)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for DataType {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        Ok(match text {
            "boolean" | "bool" => DataType::Boolean,
            "int64" | "int" | "integer" => DataType::Int64,
            "float64" | "float" | "double" => DataType::Float64,
            "date" => DataType::Date,
            "datetime" | "timestamp" => DataType::Datetime,
            "datetime_utc" => DataType::DatetimeUtc,
            "string" | "text" => DataType::String,
            _ => {
                let wanted = "not a type: use boolean, int64, float64, date, datetime, datetime_utc or string";
                return Err(Misread::new(text, wanted));
            }
        })
    }
}

/// A named column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub dtype: DataType,
}

impl Field {
    pub fn new(name: impl Into<String>, dtype: DataType) -> Self {
        Self { name: name.into(), dtype }
    }
}

/// Ordered, uniquely named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    pub fields: Vec<Field>,
}

impl Schema {
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str())
    }

    /// Joins by name: this schema's columns keep their places, new ones follow, types are joined.
    pub fn join(&self, other: &Schema) -> Schema {
        let mut fields = self.fields.clone();
        for field in &other.fields {
            match fields.iter_mut().find(|f| f.name == field.name) {
                Some(mine) => mine.dtype = mine.dtype.join(field.dtype),
                None => fields.push(field.clone()),
            }
        }
        Schema { fields }
    }

    /// The schema as rows have it: a column in which no value was ever seen is a column of text.
    #[must_use]
    pub fn published(mut self) -> Schema {
        for field in &mut self.fields {
            if field.dtype == DataType::Null {
                field.dtype = DataType::String;
            }
        }
        self
    }

    /// Gives columns in which no value was ever seen the types that they have in others of these schemas; text, where they are not
    /// there either. So what has no value yet can be compared and joined with what has.
    pub fn settle(schemas: &mut [&mut Schema]) {
        let all = schemas.iter().fold(Schema::default(), |all, schema| all.join(schema)).published();
        for field in schemas.iter_mut().flat_map(|schema| &mut schema.fields) {
            if field.dtype == DataType::Null {
                field.dtype = all.get(&field.name).map_or(DataType::String, |f| f.dtype);
            }
        }
    }

    /// `a, b, c`, for messages.
    pub fn names_joined(&self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    /// `its columns are a, b, c`, or how many there are where a message cannot hold them.
    pub fn listed(&self) -> String {
        const MOST: usize = 30;
        match self.len() {
            ..=MOST => format!("its columns are {}", self.names_joined()),
            many => format!("it has {many} columns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [DataType; 8] = [
        DataType::Null,
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Date,
        DataType::Datetime,
        DataType::DatetimeUtc,
        DataType::String,
    ];

    #[test]
    fn what_has_no_value_yet_takes_the_type_that_others_have() {
        let schema = |fields: &[(&str, DataType)]| {
            Schema::new(fields.iter().map(|(name, dtype)| Field::new(*name, *dtype)).collect())
        };
        let mut one = schema(&[("a", DataType::Null), ("b", DataType::Null), ("c", DataType::Date)]);
        let mut two = schema(&[("c", DataType::Null), ("a", DataType::Int64)]);
        Schema::settle(&mut [&mut one, &mut two]);
        assert_eq!(one, schema(&[("a", DataType::Int64), ("b", DataType::String), ("c", DataType::Date)]));
        assert_eq!(two, schema(&[("c", DataType::Date), ("a", DataType::Int64)]));
    }

    #[test]
    fn join_is_a_semilattice() {
        for a in ALL {
            assert_eq!(a.join(a), a);
            assert_eq!(a.join(DataType::String), DataType::String);
            assert_eq!(a.join(DataType::Null), a);
            for b in ALL {
                assert_eq!(a.join(b), b.join(a));
                for c in ALL {
                    assert_eq!(a.join(b).join(c), a.join(b.join(c)), "{a} {b} {c}");
                }
            }
        }
    }

    #[test]
    fn schemas_join_by_name_and_keep_order() {
        let a = Schema::new(vec![Field::new("x", DataType::Int64), Field::new("y", DataType::String)]);
        let b = Schema::new(vec![Field::new("z", DataType::Date), Field::new("x", DataType::Float64)]);
        let joined = a.join(&b);
        assert_eq!(joined.names_joined(), "x, y, z");
        assert_eq!(joined.fields[0].dtype, DataType::Float64);
    }
}
