//! Rules against a schema: which columns each acts on, and what the columns are afterwards, as far as it shows without data.

use super::columns::no_column;
use super::error::{RuleError, RuleFault, Unsuited};
use super::rule::{Cast, Fill, Op, Rule, RuleSet};
use super::scalar::Scalar;
use crate::schema::{DataType, Schema};

/// The columns at some point of a rule file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub columns: Vec<ShapeColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeColumn {
    pub name: String,
    /// `None` after a `derive`, whose type only the engine knows.
    pub dtype: Option<DataType>,
}

impl From<&Schema> for Shape {
    fn from(schema: &Schema) -> Self {
        let columns =
            schema.fields.iter().map(|f| ShapeColumn { name: f.name.clone(), dtype: Some(f.dtype) }).collect();
        Shape { columns }
    }
}

impl Shape {
    fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|c| c.name.as_str()).collect()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}

impl RuleSet {
    /// Whether the rules make sense for data of this schema. What a `derive` makes is not known here, and is checked where it is made.
    pub fn check(&self, schema: &Schema) -> Result<(), RuleError> {
        shape_after(&self.rules, schema).map(|_| ())
    }
}

/// The columns that come out when data of this schema goes through these rules.
pub fn shape_after(rules: &[Rule], schema: &Schema) -> Result<Shape, RuleError> {
    let mut shape = Shape::from(schema);
    for rule in rules {
        rule.advance(&mut shape)?;
    }
    Ok(shape)
}

impl Rule {
    /// The places of the columns that the rule acts on, in the order of the data.
    /// A column named exactly must suit the operation; one found by a glob is passed over when it does not.
    pub fn targets(&self, shape: &Shape) -> Result<Vec<usize>, RuleError> {
        let names = shape.names();
        if let Op::Rename { names: pairs } = &self.op {
            let find = |old: &String| shape.position(old).ok_or_else(|| self.error(no_column(old, &names)));
            return pairs.iter().map(|(old, _)| find(old)).collect();
        }
        if matches!(self.op, Op::Filter { .. } | Op::Derive { .. }) {
            return Ok(Vec::new());
        }
        let mut targets = Vec::new();
        for asked in self.columns.find(&names).map_err(|e| self.error(e))? {
            let column = &shape.columns[asked.index];
            match column.dtype.map(|dtype| self.op.accepts(dtype)) {
                None | Some(Ok(_)) => targets.push(asked.index),
                Some(Err(why)) if asked.by_name => {
                    return Err(self.error(RuleFault::Unsuited { column: column.name.clone(), why }));
                }
                Some(Err(_)) => {}
            }
        }
        Ok(targets)
    }

    /// Changes `shape` as the rule changes the columns.
    pub fn advance(&self, shape: &mut Shape) -> Result<(), RuleError> {
        let targets = self.targets(shape)?;
        match &self.op {
            Op::Rename { names } => {
                for (index, (_, new)) in targets.iter().zip(names) {
                    shape.columns[*index].name.clone_from(new);
                }
                for (index, (_, new)) in targets.iter().zip(names) {
                    if shape.columns.iter().enumerate().any(|(i, c)| i != *index && c.name == *new) {
                        return Err(self.error(RuleFault::TwoColumns(new.clone())));
                    }
                }
            }
            Op::Keep => shape.columns = targets.iter().map(|i| shape.columns[*i].clone()).collect(),
            Op::Drop => {
                let mut index = 0;
                shape.columns.retain(|_| {
                    index += 1;
                    !targets.contains(&(index - 1))
                });
                if shape.columns.is_empty() {
                    return Err(self.error(RuleFault::NoneLeft));
                }
            }
            Op::Derive { column, .. } => match shape.position(column) {
                Some(at) => shape.columns[at].dtype = None,
                None => shape.columns.push(ShapeColumn { name: column.clone(), dtype: None }),
            },
            op => {
                for index in targets {
                    let column = &mut shape.columns[index];
                    column.dtype = match column.dtype {
                        Some(dtype) => op.accepts(dtype).ok(),
                        // What these make is known even of a column that is not.
                        None => match op {
                            Op::Cast(cast) => Some(cast.result()),
                            Op::Fill { with: Fill::Mean | Fill::Median } | Op::Standardise => Some(DataType::Float64),
                            _ => None,
                        },
                    };
                }
            }
        }
        Ok(())
    }

    /// What is wrong with this rule, with its place.
    pub fn error(&self, fault: impl Into<RuleFault>) -> RuleError {
        RuleError { file: self.file.clone(), line: self.line, op: self.op.name(), fault: fault.into() }
    }
}

impl Op {
    /// The type that a column of `dtype` has after the operation, or why the operation does not apply to it.
    pub fn accepts(&self, dtype: DataType) -> Result<DataType, Unsuited> {
        use DataType::{Duration, Float64, String as Text, Time};
        let unsuited = |wanted| Unsuited::Type { dtype, op: self.name(), wanted };
        let number =
            |after| if dtype.is_numeric() { Ok(after) } else { Err(unsuited("numbers (int64, decimal, float64)")) };
        match self {
            Op::Trim { .. }
            | Op::Collapse
            | Op::Case { .. }
            | Op::Normalize { .. }
            | Op::Replace { .. }
            | Op::Pattern { .. } => {
                if dtype == Text {
                    Ok(Text)
                } else {
                    Err(unsuited("strings"))
                }
            }
            Op::NullIf { values, .. } => {
                for value in values {
                    value.fit(dtype)?;
                }
                Ok(dtype)
            }
            Op::Cast(cast) => cast.accepts(dtype),
            Op::Fill { with: Fill::Value(value) } => {
                value.fit(dtype)?;
                Ok(dtype)
            }
            // The mean of whole numbers is seldom whole: the column becomes float64, as in pandas.
            Op::Fill { with: Fill::Mean | Fill::Median } | Op::Standardise => number(Float64),
            Op::Clip { min, max } | Op::Range { min, max, .. } => {
                if !dtype.is_numeric() && !dtype.is_calendar() && !matches!(dtype, Time | Duration) {
                    return Err(unsuited("numbers, dates, times and durations"));
                }
                for bound in [min, max].into_iter().flatten() {
                    bound.fit(dtype)?;
                }
                Ok(dtype)
            }
            Op::Zscore { .. } | Op::Iqr { .. } => number(dtype),
            Op::Fill { .. }
            | Op::Rename { .. }
            | Op::Keep
            | Op::Drop
            | Op::DropNulls { .. }
            | Op::Filter { .. }
            | Op::Derive { .. } => Ok(dtype),
        }
    }
}

impl Cast {
    fn accepts(&self, from: DataType) -> Result<DataType, Unsuited> {
        use DataType::{
            Binary, Boolean, Date, Datetime, DatetimeUtc, Decimal, Duration, Float64, Int64, Null, String as Text, Time,
        };
        let to = self.result();
        let possible = match from {
            Null | Text => true,
            Int64 | Decimal { .. } | Float64 | Boolean => to.is_numeric() || matches!(to, Boolean | Text),
            Datetime(_) | DatetimeUtc(_) => to.is_calendar() || matches!(to, Time | Text),
            Date => to.is_calendar() || to == Text,
            Time | Duration | Binary => to == from || to == Text,
        };
        if possible { Ok(to) } else { Err(Unsuited::Cast { from, to }) }
    }
}

/// Whether `values` of a `null_if` are numbers, rather than strings.
pub(super) fn all_numbers(values: &[Scalar]) -> bool {
    values.iter().all(Scalar::is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Field;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("id", DataType::Int64),
            Field::new("name", DataType::String),
            Field::new("addr_city", DataType::String),
            Field::new("age", DataType::Float64),
            Field::new("seen", DataType::Date),
        ])
    }

    fn check(text: &str) -> Result<(), String> {
        RuleSet::parse(text, "rules.toml").unwrap().check(&schema()).map_err(|e| e.to_string())
    }

    fn after(text: &str) -> String {
        let shape = shape_after(&RuleSet::parse(text, "r").unwrap().rules, &schema()).unwrap();
        let show =
            |c: &ShapeColumn| format!("{}:{}", c.name, c.dtype.map_or("?".to_owned(), |dtype| dtype.to_string()));
        shape.columns.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_tracked_through_rules() {
        let text = r#"
            [[rule]]
            op = "rename"
            columns = { name = "full_name" }
            [[rule]]
            op = "cast"
            columns = ["full_name"]
            to = "integer"
            [[rule]]
            op = "derive"
            column = "twice"
            sql = "id * 2"
            [[rule]]
            op = "clip"
            columns = ["twice"]
            min = 0
            [[rule]]
            op = "fill"
            columns = ["id"]
            with = "mean"
            [[rule]]
            op = "drop"
            columns = ["addr_*"]
        "#;
        assert_eq!(after(text), "id:float64 full_name:int64 age:float64 seen:date twice:?");
        assert_eq!(after("[[rule]]\nop='keep'\ncolumns=['seen','id']"), "id:int64 seen:date");
        let zoned = "[[rule]]\nop='cast'\ncolumns='name'\nto='datetime'\ntimezone='Europe/Berlin'\n[[rule]]\nop='keep'\ncolumns='name'";
        assert_eq!(after(zoned), "name:datetime_utc");
        assert_eq!(
            after("[[rule]]\nop='rename'\ncolumns={id='age', age='id'}\n[[rule]]\nop='keep'\ncolumns=['id','age']"),
            "age:int64 id:float64",
            "names can be swapped"
        );
    }

    #[test]
    fn misfits_name_rule_column_and_type() {
        let cases = [
            (
                "\n[[rule]]\nop='trim'\ncolumns=['nam']",
                "rules.toml:2: trim: there is no column `nam` (did you mean `name`?); the columns are id, name, addr_city, age, seen",
            ),
            (
                "[[rule]]\nop='trim'\ncolumns=['zip_*']",
                "rules.toml:1: trim: no column matches `zip_*`; the columns are id, name, addr_city, age, seen",
            ),
            (
                "[[rule]]\nop='trim'\ncolumns=['id']",
                "rules.toml:1: trim: column `id`: its type is int64; `trim` works on strings",
            ),
            (
                "[[rule]]\nop='zscore'\ncolumns=['name']",
                "rules.toml:1: zscore: column `name`: its type is string; `zscore` works on numbers (int64, decimal, float64)",
            ),
            (
                "[[rule]]\nop='cast'\ncolumns=['id']\nto='date'",
                "rules.toml:1: cast: column `id`: int64 cannot be cast to date",
            ),
            (
                "[[rule]]\nop='fill'\ncolumns=['id']\nvalue='x'",
                "rules.toml:1: fill: column `id`: \"x\" is a string, which a column of type int64 cannot hold",
            ),
            (
                "[[rule]]\nop='range'\ncolumns=['seen']\nmin=1",
                "rules.toml:1: range: column `seen`: 1 is a whole number, which a column of type date cannot hold",
            ),
            (
                "[[rule]]\nop='clip'\ncolumns=['id']\nmin=0.5",
                "rules.toml:1: clip: column `id`: 0.5 is a number, which a column of type int64 cannot hold",
            ),
            ("[[rule]]\nop='rename'\ncolumns={id='name'}", "rules.toml:1: rename: two columns would be named `name`"),
            (
                "[[rule]]\nop='drop'\ncolumns=['id']\n[[rule]]\nop='fill'\ncolumns=['id']\nvalue=1",
                "rules.toml:4: fill: there is no column `id`; the columns are name, addr_city, age, seen",
            ),
            ("[[rule]]\nop='drop'\ncolumns=['*']", "rules.toml:1: drop: no column would be left"),
        ];
        for (text, message) in cases {
            assert_eq!(check(text), Err(message.to_owned()), "{text}");
        }
        for fine in [
            "[[rule]]\nop='trim'\ncolumns=['*']",
            "[[rule]]\nop='trim'",
            "[[rule]]\nop='null_if'\nvalues=['']",
            "[[rule]]\nop='null_if'\nvalues=[-999]",
            "[[rule]]\nop='range'\ncolumns=['seen']\nmin=2020-01-01\nmax='2021-01-01'",
        ] {
            assert_eq!(check(fine), Ok(()), "{fine}");
        }
    }

    #[test]
    fn targets_pass_over_other_types() {
        let set = RuleSet::parse("[[rule]]\nop='trim'", "r").unwrap();
        assert_eq!(set.rules[0].targets(&Shape::from(&schema())), Ok(vec![1, 2]));
        let set = RuleSet::parse("[[rule]]\nop='null_if'\nvalues=[-999]", "r").unwrap();
        assert_eq!(set.rules[0].targets(&Shape::from(&schema())), Ok(vec![0, 3]));
    }
}
