//! The profiles of all shards as one.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shardmill_common::failure::Failure;
use shardmill_common::model::{CategoryCounts, ClassValue, LabelProfile, Moments, NumericProfile, Profile};
use shardmill_common::schema::DataType;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    None,
    /// Rows and sum of row weights of each class, in order.
    Classes(Vec<(ClassValue, u64, f64)>),
    Number(Moments),
}

/// The whole dataset before training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Whole {
    /// Rows that training uses.
    pub rows: u64,
    pub rows_without_label: u64,
    pub rows_with_missing: u64,
    pub weight: f64,
    pub numeric: Vec<NumericProfile>,
    pub categorical: Vec<CategoryCounts>,
    pub labels: Labels,
}

impl Whole {
    pub fn all_rows(&self) -> u64 {
        self.rows + self.rows_without_label + self.rows_with_missing
    }
}

/// Adds up in the order of the shards. `types` are those of the categorical columns.
pub fn merge(shards: &[Profile], types: &[DataType]) -> Result<Whole, Failure> {
    let differ = || Failure::internal("the profiles of the shards differ in their columns");
    let first = shards.first().ok_or_else(|| Failure::internal("there are no profiles"))?;
    let mut whole = Whole {
        rows: 0,
        rows_without_label: 0,
        rows_with_missing: 0,
        weight: 0.0,
        numeric: vec![NumericProfile::default(); first.numeric.len()],
        categorical: vec![CategoryCounts::default(); types.len()],
        labels: Labels::None,
    };
    let mut counts: Vec<BTreeMap<&str, u64>> = vec![BTreeMap::new(); types.len()];
    let mut classes: BTreeMap<&ClassValue, (u64, f64)> = BTreeMap::new();
    let mut number = Moments::default();
    for shard in shards {
        if shard.numeric.len() != whole.numeric.len() || shard.categorical.len() != types.len() {
            return Err(differ());
        }
        whole.rows += shard.rows;
        whole.rows_without_label += shard.rows_without_label;
        whole.rows_with_missing += shard.rows_with_missing;
        whole.weight += shard.weight;
        for (mine, other) in whole.numeric.iter_mut().zip(&shard.numeric) {
            mine.moments = mine.moments.merge(other.moments);
            mine.missing += other.missing;
            mine.min = [mine.min, other.min].into_iter().flatten().reduce(f64::min);
            mine.max = [mine.max, other.max].into_iter().flatten().reduce(f64::max);
        }
        for ((mine, sums), other) in whole.categorical.iter_mut().zip(&mut counts).zip(&shard.categorical) {
            mine.missing += other.missing;
            mine.too_many |= other.too_many;
            other.values.iter().for_each(|(value, n)| *sums.entry(value).or_default() += n);
        }
        match &shard.label {
            LabelProfile::None => {}
            LabelProfile::Classes(shares) => {
                for (class, rows, weight) in shares {
                    let sum = classes.entry(class).or_default();
                    *sum = (sum.0 + rows, sum.1 + weight);
                }
            }
            LabelProfile::Number(moments) => number = number.merge(*moments),
        }
    }
    for ((mine, sums), dtype) in whole.categorical.iter_mut().zip(counts).zip(types) {
        mine.values = sums.into_iter().map(|(value, n)| (value.to_owned(), n)).collect();
        mine.values.sort_by(|a, b| by_value(*dtype, &a.0, &b.0));
    }
    whole.labels = match first.label {
        LabelProfile::None => Labels::None,
        LabelProfile::Classes(_) => Labels::Classes(classes.into_iter().map(|(c, (n, w))| (c.clone(), n, w)).collect()),
        LabelProfile::Number(_) => Labels::Number(number),
    };
    Ok(whole)
}

/// The order of two values of a column, given as text.
pub fn by_value(dtype: DataType, a: &str, b: &str) -> Ordering {
    match dtype {
        DataType::Int64 => a.parse::<i64>().ok().cmp(&b.parse::<i64>().ok()).then_with(|| a.cmp(b)),
        DataType::Float64 | DataType::Decimal { .. } => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        },
        _ => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(values: &[(&str, u64)], numbers: &[f64], classes: &[(i64, u64)]) -> Profile {
        let one = |v: &f64| Moments { count: 1.0, mean: *v, squares: 0.0 };
        let minmax = |f: fn(f64, f64) -> f64| numbers.iter().copied().reduce(f);
        Profile {
            rows: numbers.len() as u64,
            rows_without_label: 1,
            rows_with_missing: 0,
            weight: numbers.len() as f64,
            numeric: vec![NumericProfile {
                moments: numbers.iter().map(one).fold(Moments::default(), Moments::merge),
                missing: 2,
                min: minmax(f64::min),
                max: minmax(f64::max),
            }],
            categorical: vec![CategoryCounts {
                values: values.iter().map(|(v, n)| (v.to_string(), *n)).collect(),
                missing: 0,
                too_many: false,
            }],
            label: LabelProfile::Classes(classes.iter().map(|(c, n)| (ClassValue::Int64(*c), *n, *n as f64)).collect()),
            sample: None,
        }
    }

    #[test]
    fn numbers_as_categories_are_ordered_by_value() {
        let shards = [
            shard(&[("2", 1), ("10", 3)], &[1.0, 5.0], &[(0, 2)]),
            shard(&[], &[], &[]),
            shard(&[("-3", 1), ("2", 4)], &[3.0], &[(-1, 1)]),
        ];
        let whole = merge(&shards, &[DataType::Int64]).unwrap();
        let values: Vec<(&str, u64)> = whole.categorical[0].values.iter().map(|(v, n)| (v.as_str(), *n)).collect();
        assert_eq!(values, [("-3", 1), ("2", 5), ("10", 3)]);
        assert_eq!((whole.rows, whole.rows_without_label, whole.numeric[0].missing), (3, 3, 6));
        assert_eq!((whole.numeric[0].min, whole.numeric[0].max), (Some(1.0), Some(5.0)));
        assert_eq!(whole.numeric[0].moments.mean, 3.0);
        let Labels::Classes(classes) = whole.labels else { panic!() };
        assert_eq!(classes, [(ClassValue::Int64(-1), 1, 1.0), (ClassValue::Int64(0), 2, 2.0)]);
    }
}
