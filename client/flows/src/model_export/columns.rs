//! The encoder as exports see it: each raw column with the type of its input, what fills in for missing values as a value of that
//! type, and its categories read as numbers where the column has numbers.

use shardmill_common::model::{Encoding, Feature, Filling, Model, Scaling, Unknown};
use shardmill_common::schema::DataType;

use super::Reason;

/// What a reader of the file passes for a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    Number,
    /// Whole numbers, given as numbers.
    Integer,
    Boolean,
    /// Text; dates and times are their text.
    Text,
}

/// The numbers that a column becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Numeric {
        scaling: Option<Scaling>,
        fill: Option<f64>,
    },
    /// One-hot of a column of numbers or booleans, booleans as 0 and 1.
    Numbers {
        categories: Vec<f64>,
        fill: Option<f64>,
        refuse: bool,
    },
    /// One-hot of a column of text.
    Texts {
        categories: Vec<String>,
        fill: Option<String>,
        refuse: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    pub input: Input,
    pub kind: Kind,
    /// A number follows that is 1 where the value was missing.
    pub indicator: bool,
}

impl Column {
    /// A missing value has something that stands in for it.
    pub const fn fills(&self) -> bool {
        match &self.kind {
            Kind::Numeric { fill, .. } | Kind::Numbers { fill, .. } => fill.is_some(),
            Kind::Texts { fill, .. } => fill.is_some(),
        }
    }

    fn of(feature: &Feature) -> Result<Self, Reason> {
        let input = match feature.dtype {
            DataType::Float64 | DataType::Decimal { .. } => Input::Number,
            DataType::Int64 => Input::Integer,
            DataType::Boolean => Input::Boolean,
            DataType::String
            | DataType::Date
            | DataType::Time
            | DataType::Datetime(_)
            | DataType::DatetimeUtc(_)
            | DataType::Duration
            | DataType::Binary
            | DataType::Null => Input::Text,
        };
        let name = &feature.column;
        let kind = match &feature.encoding {
            Encoding::Numeric { .. } if input == Input::Text => {
                return Err(Reason::NotANumber { column: name.clone(), dtype: feature.dtype });
            }
            Encoding::Numeric { scaling } => Kind::Numeric { scaling: *scaling, fill: number_fill(feature)? },
            Encoding::OneHot { categories, unknown } => {
                let refuse = *unknown == Unknown::Refuse;
                if input == Input::Text {
                    let fill = feature.fill.as_ref().map(|f| match f {
                        Filling::Text(text) => text.clone(),
                        Filling::Number(number) => number.to_string(),
                    });
                    Kind::Texts { categories: categories.clone(), fill, refuse }
                } else {
                    let categories = categories.iter().map(|c| number(name, c)).collect::<Result<_, _>>()?;
                    Kind::Numbers { categories, fill: number_fill(feature)?, refuse }
                }
            }
        };
        Ok(Column { name: name.clone(), input, kind, indicator: feature.indicator })
    }
}

fn number_fill(feature: &Feature) -> Result<Option<f64>, Reason> {
    match &feature.fill {
        None => Ok(None),
        Some(Filling::Number(x)) => Ok(Some(*x)),
        Some(Filling::Text(text)) => number(&feature.column, text).map(Some),
    }
}

/// A value of a column of numbers or booleans, written as text. Exports know float64 only.
fn number(column: &str, text: &str) -> Result<f64, Reason> {
    const EXACT: u64 = 1 << 53;
    match text {
        "true" => return Ok(1.0),
        "false" => return Ok(0.0),
        _ => {}
    }
    if text.parse::<i64>().is_ok_and(|n| n.unsigned_abs() > EXACT) {
        return Err(Reason::TooExact { column: column.to_owned(), category: text.to_owned() });
    }
    text.parse::<f64>().map_err(|_| Reason::CategoryNotANumber { column: column.to_owned(), category: text.to_owned() })
}

/// All columns of a model, in the order of its numbers.
pub fn columns(model: &Model) -> Result<Vec<Column>, Reason> {
    if model.features.features.is_empty() {
        return Err(Reason::NoFeatures);
    }
    model.features.features.iter().map(Column::of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_of_numbers_are_numbers() {
        assert_eq!(number("x", "true").ok(), Some(1.0));
        assert_eq!(number("x", "-12").ok(), Some(-12.0));
        assert_eq!(number("x", "0.5").ok(), Some(0.5));
        assert!(number("x", "9007199254740993").is_err());
        assert!(number("x", "Rome").is_err());
    }
}
