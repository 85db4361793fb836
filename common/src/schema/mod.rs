//! Columns by name and type, and how schemas of differing types are joined.

mod dtype;

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

pub use dtype::{DataType, MAX_DIGITS, Unit};

/// A named column.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub dtype: DataType,
    /// Some whole number or decimal in it may have more digits than a float tells apart. Knowledge of the values, by which joined
    /// columns become text rather than floats; columns that differ in it alone are equal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond_float: bool,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.dtype == other.dtype
    }
}

impl Eq for Field {}

impl Hash for Field {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.dtype).hash(state);
    }
}

impl Field {
    pub fn new(name: impl Into<String>, dtype: DataType) -> Self {
        Self { name: name.into(), dtype, beyond_float: false }
    }

    /// Takes in the values of another column.
    pub fn join(&mut self, other: &Field) {
        self.beyond_float |= other.beyond_float;
        self.dtype = self.dtype.join(other.dtype);
        if self.dtype == DataType::Float64 && self.beyond_float {
            self.dtype = DataType::String;
        }
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
                Some(mine) => mine.join(field),
                None => fields.push(field.clone()),
            }
        }
        Schema { fields }
    }

    /// Whether the other one is equal, and nothing else is known of its values.
    pub fn is_identical(&self, other: &Schema) -> bool {
        self == other && self.fields.iter().zip(&other.fields).all(|(a, b)| a.beyond_float == b.beyond_float)
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
    fn long_numbers_and_floats_make_text() {
        let field = |dtype: DataType, beyond_float| Field { beyond_float, ..Field::new("x", dtype) };
        let price = DataType::Decimal { precision: 20, scale: 2 };
        let joined = |fields: &[Field]| {
            let mut sum = Field::new("x", DataType::Null);
            fields.iter().for_each(|f| sum.join(f));
            sum.dtype
        };
        let (long, short, float) = (field(DataType::Int64, true), field(price, false), field(DataType::Float64, false));
        for order in [[&long, &short, &float], [&float, &long, &short], [&short, &float, &long]] {
            assert_eq!(joined(&order.map(Clone::clone)), DataType::String);
        }
        assert_eq!(joined(&[short, float.clone()]), DataType::Float64);
        assert_eq!(joined(&[field(DataType::Int64, false), float]), DataType::Float64);
        assert_eq!(long, field(DataType::Int64, false));
        assert_eq!(serde_json::to_string(&long).unwrap(), r#"{"name":"x","type":"int64","beyond_float":true}"#);
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
