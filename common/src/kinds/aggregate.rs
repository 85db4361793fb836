//! Grouping without SQL: what is computed of each group, and the partial and final steps of it.

use serde::{Deserialize, Serialize};

use super::{Kind, reads, writes};
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::{DataType, Field, MAX_DIGITS, Schema};
use crate::shared::Shared;
use crate::task::Task;
use crate::unfit::{OwnUnfit, Role, Unfit};

phases! {
    /// Where the groups take several tasks, the phases of sorting put them in order.
    pub enum AggregatePhase {
        Aggregate = "aggregate",
        Groups = "groups",
    }
}
use crate::task::{PartitionSizes, ShardInput, TaskRange};

/// What is computed of the values of a group. Nulls are left out, except by `count()`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Rows (without a column), or values that are not null.
    Count,
    Sum,
    Mean,
    Min,
    Max,
    /// Of a sample: divided by n - 1.
    Variance,
    StdDev,
    /// Different values, exactly.
    Distinct,
    /// Different values by HyperLogLog.
    ApproxDistinct,
    /// The value at this share of the sorted values, interpolated linearly as pandas and NumPy do; 0.5 is the median.
    Quantile(f64),
}

impl Function {
    pub const fn name(self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum => "sum",
            Function::Mean => "mean",
            Function::Min => "min",
            Function::Max => "max",
            Function::Variance => "variance",
            Function::StdDev => "stddev",
            Function::Distinct => "distinct",
            Function::ApproxDistinct => "approx_distinct",
            Function::Quantile(_) => "quantile",
        }
    }

    /// The type of its result over values of this type, if it takes them.
    pub const fn result(self, of: DataType) -> Option<DataType> {
        match self {
            Function::Count | Function::Distinct | Function::ApproxDistinct => Some(DataType::Int64),
            Function::Min | Function::Max => Some(of),
            Function::Sum => match of {
                DataType::Boolean | DataType::Int64 => Some(DataType::Int64),
                DataType::Float64 => Some(DataType::Float64),
                DataType::Decimal { scale, .. } => Some(DataType::Decimal { precision: MAX_DIGITS, scale }),
                DataType::Duration => Some(DataType::Duration),
                _ => None,
            },
            Function::Mean => match of {
                DataType::Boolean => Some(DataType::Float64),
                of if of.is_numeric() => Some(DataType::Float64),
                _ => None,
            },
            Function::Variance | Function::StdDev | Function::Quantile(_) if of.is_numeric() => Some(DataType::Float64),
            Function::Variance | Function::StdDev | Function::Quantile(_) => None,
        }
    }
}

/// What is wrong with an aggregation alone. `name` is the column of the result.
#[derive(Debug, thiserror::Error)]
pub enum AggregateUnfit {
    #[error("`{name}`: the share of a quantile is between 0 and 1, not {share}")]
    Share { name: String, share: f64 },
    #[error("`{name}`: {function} needs a column: {function}(COLUMN)")]
    NoColumn { name: String, function: &'static str },
    #[error("`{name}`: {why}")]
    Of { name: String, why: Box<Unfit> },
    #[error(
        "`{name}`: {function} needs numbers, and column `{column}` is {dtype}: cast it first (shardmill clean, rule `cast`)"
    )]
    NotNumbers { name: String, function: &'static str, column: String, dtype: DataType },
    #[error("nothing is computed: name at least one column, such as n=count()")]
    Nothing,
    #[error("a column of the result has no name: write it as NAME=FUNCTION(COLUMN)")]
    NoName,
    #[error("a column of the result is named `{0}`, as a column to group by is")]
    NameOfKey(String),
    #[error("two columns of the result are named `{0}`")]
    TwoOfName(String),
}

impl OwnUnfit for AggregateUnfit {}

/// One column of the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub name: String,
    pub function: Function,
    /// `None` for `count()`.
    pub column: Option<String>,
}

impl Aggregate {
    /// The type of its column over rows of this schema; `what` names the dataset in messages.
    pub fn result(&self, schema: &Schema, what: &str) -> Result<DataType, Unfit> {
        let function = self.function.name();
        if let Function::Quantile(share) = self.function
            && !(0.0..=1.0).contains(&share)
        {
            return Err(AggregateUnfit::Share { name: self.name.clone(), share }.into());
        }
        let Some(column) = &self.column else {
            return match self.function {
                Function::Count => Ok(DataType::Int64),
                _ => Err(AggregateUnfit::NoColumn { name: self.name.clone(), function }.into()),
            };
        };
        let Some(field) = schema.get(column) else {
            let why = Unfit::no_column(what, schema, column, Role::Value);
            return Err(AggregateUnfit::Of { name: self.name.clone(), why: Box::new(why) }.into());
        };
        self.function.result(field.dtype).ok_or_else(|| {
            let (name, column, dtype) = (self.name.clone(), column.clone(), field.dtype);
            AggregateUnfit::NotNumbers { name, function, column, dtype }.into()
        })
    }
}

/// The columns of the result: the keys, then what is computed. `what` names the dataset in messages.
pub fn aggregated_schema(
    by: &[String],
    aggregates: &[Aggregate],
    schema: &Schema,
    what: &str,
) -> Result<Schema, Unfit> {
    let mut fields: Vec<Field> = Vec::with_capacity(by.len() + aggregates.len());
    for key in by {
        let Some(field) = schema.get(key) else {
            return Err(Unfit::no_column(what, schema, key, Role::GroupKey));
        };
        if fields.contains(field) {
            return Err(Unfit::Twice { column: key.clone(), role: Role::GroupKey });
        }
        fields.push(field.clone());
    }
    if aggregates.is_empty() {
        return Err(AggregateUnfit::Nothing.into());
    }
    for aggregate in aggregates {
        let name = &aggregate.name;
        let dtype = aggregate.result(schema, what)?;
        if name.is_empty() {
            return Err(AggregateUnfit::NoName.into());
        }
        if by.contains(name) {
            return Err(AggregateUnfit::NameOfKey(name.clone()).into());
        }
        if fields.iter().any(|f| f.name == *name) {
            return Err(AggregateUnfit::TwoOfName(name.clone()).into());
        }
        fields.push(Field::new(name.clone(), dtype));
    }
    Ok(Schema::new(fields))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateSpec {
    pub input: DatasetRef,
    pub output: DatasetName,
    /// Empty: one row over everything.
    pub by: Vec<String>,
    pub aggregates: Vec<Aggregate>,
    pub replicas: Option<u32>,
}

/// The partial aggregates of some shards, into the shuffle by the hash of the keys. What is put out has several tables (the
/// states of the groups, then the values that some functions need), each of so many partitions, one table after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AggregateTask {
    pub inputs: Vec<ShardInput>,
    pub schema: Shared<Schema>,
    pub by: Shared<Vec<String>>,
    pub aggregates: Shared<Vec<Aggregate>>,
    /// A power of two.
    pub partitions: u32,
}

/// The final aggregates of partitions `from..to` of every table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeGroupsTask {
    pub runs: TaskRange,
    pub partitions: (u32, u32),
    /// What the states take in the shuffle, in every partition of the table.
    pub sizes: Shared<PartitionSizes>,
    /// Partitions of a table in all.
    pub of: u32,
    /// Of the input dataset.
    pub schema: Shared<Schema>,
    pub by: Shared<Vec<String>>,
    pub aggregates: Shared<Vec<Aggregate>>,
    /// These are all groups: they are put out in the order of their keys.
    pub sorted: bool,
    /// For messages: the dataset's name.
    pub source_name: String,
}

impl Kind for AggregateSpec {
    reads!(input);
    writes!(output, replicas);
}

impl Task for AggregateTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.inputs.iter().collect()
    }
}

impl Task for MergeGroupsTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate(name: &str, function: Function, column: Option<&str>) -> Aggregate {
        Aggregate { name: name.into(), function, column: column.map(str::to_owned) }
    }

    #[test]
    fn the_result_has_keys_first_and_types_that_follow() {
        let schema = Schema::new(vec![
            Field::new("city", DataType::String),
            Field::new("n", DataType::Int64),
            Field::new("day", DataType::Date),
            Field::new("ok", DataType::Boolean),
        ]);
        let result = |by: &[&str], aggregates: &[Aggregate]| {
            let by: Vec<String> = by.iter().map(|b| (*b).to_owned()).collect();
            aggregated_schema(&by, aggregates, &schema, "t@1")
        };
        let good = [
            aggregate("rows", Function::Count, None),
            aggregate("sum", Function::Sum, Some("n")),
            aggregate("share", Function::Mean, Some("ok")),
            aggregate("last", Function::Max, Some("day")),
        ];
        let made = result(&["city"], &good).unwrap();
        let shown: Vec<String> = made.fields.iter().map(|f| format!("{} {}", f.name, f.dtype)).collect();
        assert_eq!(shown, ["city string", "rows int64", "sum int64", "share float64", "last date"]);
        for (by, aggregates, said) in [
            (&["town"][..], &good[..], "no column `town` to group by; its columns are city, n, day, ok"),
            (&["city", "city"][..], &good[..], "named twice"),
            (&["city"][..], &[][..], "nothing is computed"),
            (&["city"][..], &[aggregate("city", Function::Count, None)][..], "as a column to group by is"),
            (&[][..], &[good[0].clone(), good[0].clone()][..], "two columns of the result are named `rows`"),
            (&[][..], &[aggregate("", Function::Count, None)][..], "has no name"),
            (&[][..], &[aggregate("x", Function::Sum, None)][..], "sum needs a column"),
            (&[][..], &[aggregate("x", Function::Sum, Some("day"))][..], "sum needs numbers, and column `day` is date"),
            (&[][..], &[aggregate("x", Function::Mean, Some("m"))][..], "`x`: t@1 has no column `m`"),
            (&[][..], &[aggregate("x", Function::Quantile(f64::NAN), Some("n"))][..], "between 0 and 1"),
        ] {
            let error = result(by, aggregates).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
