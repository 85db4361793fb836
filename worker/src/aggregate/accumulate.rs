//! States of groups: filled from rows, written to the shuffle, merged, and turned into columns of the result.

use datasketches::hll::{HllSketch, HllType, HllUnion};
use polars::prelude::{
    BinaryChunked, Column, DataFrame, Int64Chunked, Int128Chunked, IntoColumn, IntoSeries, NamedFrom, NewChunkedArray,
    Series, StringChunked,
};
use shardmill_common::failure::Failure;
use shardmill_common::kinds::aggregate::Function;
use shardmill_common::model::CarefulSum;
use shardmill_common::schema::DataType;

use super::cells::Cells;
use super::sums::{Moments, WideSum, halves, whole};
use crate::frame::of_physical;

/// 2^13 registers: a relative standard error of 1.04 / sqrt(2^13), 1.2 %.
const LG_K: u8 = 13;

/// What is kept of each group.
pub enum Accumulator {
    /// Rows.
    Rows(Vec<i64>),
    /// Values that are not null.
    Present(Vec<i64>),
    /// Exact sums of whole numbers, with how many they are.
    Ints(Vec<(i128, i64)>),
    /// Sums with what rounding took from them (Neumaier 1974), and how many they are.
    Floats(Vec<(CarefulSum, i64)>),
    Moments(Vec<Moments>),
    /// Numbers, and NaNs.
    Tally(Vec<(i64, i64)>),
    IntExtreme {
        most: bool,
        best: Vec<Option<i64>>,
    },
    FloatExtreme {
        most: bool,
        best: Vec<Option<f64>>,
    },
    /// Exact sums of decimals of a scale, with how many they are.
    Decimals(Vec<(WideSum, i64)>, u8),
    DecimalExtreme {
        most: bool,
        best: Vec<Option<i128>>,
    },
    /// Of text, by its bytes, and of bytes.
    BytesExtreme {
        most: bool,
        best: Vec<Option<Vec<u8>>>,
    },
    Sketch(Vec<HllSketch>),
}

/// Why a column of the result cannot be made: the sum, where it can be told, has no room in its type.
pub struct Overflow {
    pub group: usize,
    pub sum: Option<i128>,
}

fn sketch() -> Result<HllSketch, Failure> {
    HllSketch::new(LG_K, HllType::Hll8).map_err(Failure::internal)
}

impl Accumulator {
    /// What a function keeps of values of this type; `None` for those that keep values in tables of their own.
    pub fn of(function: Function, dtype: DataType) -> Option<Self> {
        Some(match (function, dtype) {
            (Function::Count, _) => Accumulator::Present(Vec::new()),
            (Function::Sum | Function::Mean, DataType::Float64) => Accumulator::Floats(Vec::new()),
            (Function::Sum | Function::Mean, DataType::Decimal { scale, .. }) => {
                Accumulator::Decimals(Vec::new(), scale)
            }
            (Function::Sum | Function::Mean, _) => Accumulator::Ints(Vec::new()),
            (Function::Variance | Function::StdDev, _) => Accumulator::Moments(Vec::new()),
            (Function::Quantile(_), _) => Accumulator::Tally(Vec::new()),
            (Function::ApproxDistinct, _) => Accumulator::Sketch(Vec::new()),
            (Function::Min | Function::Max, dtype) => {
                let most = function == Function::Max;
                match dtype {
                    DataType::Float64 => Accumulator::FloatExtreme { most, best: Vec::new() },
                    DataType::Decimal { .. } => Accumulator::DecimalExtreme { most, best: Vec::new() },
                    DataType::String | DataType::Binary => Accumulator::BytesExtreme { most, best: Vec::new() },
                    _ => Accumulator::IntExtreme { most, best: Vec::new() },
                }
            }
            (Function::Distinct, _) => return None,
        })
    }

    /// Makes room for so many groups.
    pub fn grow(&mut self, groups: usize) -> Result<(), Failure> {
        match self {
            Accumulator::Rows(n) | Accumulator::Present(n) => n.resize(groups, 0),
            Accumulator::Ints(sums) => sums.resize(groups, (0, 0)),
            Accumulator::Floats(sums) => sums.resize(groups, (CarefulSum::default(), 0)),
            Accumulator::Moments(moments) => moments.resize(groups, Moments::default()),
            Accumulator::Tally(counts) => counts.resize(groups, (0, 0)),
            Accumulator::IntExtreme { best, .. } => best.resize(groups, None),
            Accumulator::FloatExtreme { best, .. } => best.resize(groups, None),
            Accumulator::Decimals(sums, _) => sums.resize(groups, (WideSum::default(), 0)),
            Accumulator::DecimalExtreme { best, .. } => best.resize(groups, None),
            Accumulator::BytesExtreme { best, .. } => best.resize(groups, None),
            Accumulator::Sketch(sketches) => {
                let empty = sketch()?;
                sketches.resize(groups, empty);
            }
        }
        Ok(())
    }

    /// Adds rows of these groups.
    pub fn add(&mut self, cells: &Cells, ids: &[u32]) {
        match self {
            Accumulator::Rows(n) => ids.iter().for_each(|id| n[*id as usize] += 1),
            Accumulator::Present(n) => cells.each_present(ids, |id| n[id] += 1),
            Accumulator::Ints(sums) => cells.each_int(ids, |id, x| {
                sums[id].0 += i128::from(x);
                sums[id].1 += 1;
            }),
            Accumulator::Floats(sums) => cells.each_float(ids, |id, x| {
                sums[id].0.add(x);
                sums[id].1 += 1;
            }),
            Accumulator::Moments(moments) => cells.each_float(ids, |id, x| moments[id].add(x)),
            Accumulator::Tally(counts) => {
                cells.each_float(ids, |id, x| if x.is_nan() { counts[id].1 += 1 } else { counts[id].0 += 1 })
            }
            Accumulator::IntExtreme { most, best } => {
                let most = *most;
                cells.each_int(ids, |id, x| {
                    if best[id].is_none_or(|b| if most { x > b } else { x < b }) {
                        best[id] = Some(x);
                    }
                });
            }
            Accumulator::FloatExtreme { most, best } => {
                let most = *most;
                cells.each_float(ids, |id, x| {
                    // NaN is more than any number, as in SQL and where rows are sorted.
                    let better = |b: f64| match most {
                        true => !b.is_nan() && (x.is_nan() || x > b),
                        false => !x.is_nan() && (b.is_nan() || x < b),
                    };
                    if best[id].is_none_or(better) {
                        best[id] = Some(x);
                    }
                });
            }
            Accumulator::Decimals(sums, _) => cells.each_decimal(ids, |id, x| {
                sums[id].0.add(x);
                sums[id].1 += 1;
            }),
            Accumulator::DecimalExtreme { most, best } => {
                let most = *most;
                cells.each_decimal(ids, |id, x| {
                    if best[id].is_none_or(|b| if most { x > b } else { x < b }) {
                        best[id] = Some(x);
                    }
                });
            }
            Accumulator::BytesExtreme { most, best } => {
                let most = *most;
                cells.each_bytes(ids, |id, x| {
                    if best[id].as_deref().is_none_or(|b| if most { x > b } else { x < b }) {
                        best[id] = Some(x.to_owned());
                    }
                });
            }
            Accumulator::Sketch(sketches) => {
                if cells.is_narrow() {
                    cells.each_bits(ids, |id, bits| sketches[id].update(bits));
                } else {
                    cells.each_hash(ids, |id, hash| sketches[id].update(hash));
                }
            }
        }
    }

    /// The states as columns, a row a group. `name` sets them apart from those of others.
    pub fn state(&self, name: &str, dtype: DataType) -> Result<Vec<Column>, Failure> {
        let ints = |part: &str, values: Vec<i64>| Series::new(format!("{name}{part}").into(), values).into_column();
        let floats = |part: &str, values: Vec<f64>| Series::new(format!("{name}{part}").into(), values).into_column();
        Ok(match self {
            Accumulator::Rows(n) | Accumulator::Present(n) => vec![ints("n", n.clone())],
            Accumulator::Ints(sums) => vec![
                ints("high", sums.iter().map(|s| halves(s.0).0).collect()),
                ints("low", sums.iter().map(|s| halves(s.0).1).collect()),
                ints("n", sums.iter().map(|s| s.1).collect()),
            ],
            Accumulator::Floats(sums) => vec![
                floats("sum", sums.iter().map(|s| s.0.parts().0).collect()),
                floats("lost", sums.iter().map(|s| s.0.parts().1).collect()),
                ints("n", sums.iter().map(|s| s.1).collect()),
            ],
            Accumulator::Moments(moments) => vec![
                ints("n", moments.iter().map(|m| m.n as i64).collect()),
                floats("mean", moments.iter().map(|m| m.mean).collect()),
                floats("m2", moments.iter().map(|m| m.m2).collect()),
            ],
            Accumulator::Tally(counts) => {
                vec![ints("n", counts.iter().map(|c| c.0).collect()), ints("nan", counts.iter().map(|c| c.1).collect())]
            }
            Accumulator::Decimals(sums, _) => {
                let third = |n: usize| sums.iter().map(|s| s.0.thirds()[n]).collect();
                vec![
                    ints("high", third(0)),
                    ints("middle", third(1)),
                    ints("low", third(2)),
                    ints("n", sums.iter().map(|s| s.1).collect()),
                ]
            }
            Accumulator::IntExtreme { .. }
            | Accumulator::FloatExtreme { .. }
            | Accumulator::DecimalExtreme { .. }
            | Accumulator::BytesExtreme { .. } => vec![self.extreme(&format!("{name}best"), dtype)?],
            Accumulator::Sketch(sketches) => {
                let bytes = sketches.iter().map(HllSketch::serialize);
                vec![BinaryChunked::from_iter_values(format!("{name}sketch").into(), bytes).into_column()]
            }
        })
    }

    /// Merges states that [`Accumulator::state`] wrote into those of these groups.
    pub fn merge(&mut self, frame: &DataFrame, name: &str, ids: &[u32]) -> Result<(), Failure> {
        let column = |part: &str| frame.column(&format!("{name}{part}")).map_err(Failure::internal);
        let ints = |part: &str| -> Result<Vec<i64>, Failure> {
            Ok(column(part)?.i64().map_err(Failure::internal)?.into_no_null_iter().collect())
        };
        let floats = |part: &str| -> Result<Vec<f64>, Failure> {
            Ok(column(part)?.f64().map_err(Failure::internal)?.into_no_null_iter().collect())
        };
        let ids = || ids.iter().map(|id| *id as usize);
        match self {
            Accumulator::Rows(n) | Accumulator::Present(n) => {
                ids().zip(ints("n")?).for_each(|(id, more)| n[id] += more);
            }
            Accumulator::Ints(sums) => {
                for (id, ((high, low), n)) in ids().zip(ints("high")?.into_iter().zip(ints("low")?).zip(ints("n")?)) {
                    sums[id].0 += whole(high, low);
                    sums[id].1 += n;
                }
            }
            Accumulator::Floats(sums) => {
                for (id, ((sum, lost), n)) in ids().zip(floats("sum")?.into_iter().zip(floats("lost")?).zip(ints("n")?))
                {
                    sums[id].0.merge(CarefulSum::of_parts(sum, lost));
                    sums[id].1 += n;
                }
            }
            Accumulator::Moments(moments) => {
                let others = ints("n")?.into_iter().zip(floats("mean")?).zip(floats("m2")?);
                for (id, ((n, mean), m2)) in ids().zip(others) {
                    moments[id].merge(&Moments { n: n as u64, mean, m2 });
                }
            }
            Accumulator::Tally(counts) => {
                for (id, (n, nan)) in ids().zip(ints("n")?.into_iter().zip(ints("nan")?)) {
                    counts[id].0 += n;
                    counts[id].1 += nan;
                }
            }
            Accumulator::Decimals(sums, _) => {
                let parts = ints("high")?.into_iter().zip(ints("middle")?).zip(ints("low")?).zip(ints("n")?);
                for (id, (((high, middle), low), n)) in ids().zip(parts) {
                    sums[id].0.merge(WideSum::of_thirds([high, middle, low]));
                    sums[id].1 += n;
                }
            }
            Accumulator::IntExtreme { .. }
            | Accumulator::FloatExtreme { .. }
            | Accumulator::DecimalExtreme { .. }
            | Accumulator::BytesExtreme { .. } => {
                let ids: Vec<u32> = ids().map(|id| id as u32).collect();
                self.add(&Cells::of(column("best")?)?, &ids);
            }
            Accumulator::Sketch(sketches) => {
                let bytes = column("sketch")?.binary().map_err(Failure::internal)?;
                for (id, bytes) in ids().zip(bytes.iter()) {
                    let other = HllSketch::deserialize(bytes.unwrap_or_default()).map_err(Failure::internal)?;
                    let mut union = HllUnion::new(LG_K).map_err(Failure::internal)?;
                    union.update(&sketches[id]);
                    union.update(&other);
                    sketches[id] = union.to_sketch(HllType::Hll8);
                }
            }
        }
        Ok(())
    }

    fn extreme(&self, name: &str, dtype: DataType) -> Result<Column, Failure> {
        let typed = |series: Series| -> Result<Column, Failure> {
            of_physical(&series, dtype).map(IntoColumn::into_column).map_err(Failure::internal)
        };
        match self {
            Accumulator::IntExtreme { best, .. } if dtype == DataType::Boolean => {
                let values: Vec<Option<bool>> = best.iter().map(|b| b.map(|b| b != 0)).collect();
                Ok(Series::new(name.into(), values).into_column())
            }
            Accumulator::IntExtreme { best, .. } => typed(Series::new(name.into(), best)),
            Accumulator::FloatExtreme { best, .. } => Ok(Series::new(name.into(), best).into_column()),
            Accumulator::DecimalExtreme { best, .. } => {
                typed(Int128Chunked::from_iter_options(name.into(), best.iter().copied()).into_series())
            }
            Accumulator::BytesExtreme { best, .. } if dtype == DataType::Binary => {
                let values = BinaryChunked::from_iter_options(name.into(), best.iter().map(Option::as_deref));
                Ok(values.into_column())
            }
            Accumulator::BytesExtreme { best, .. } => {
                // The bytes of a text, as they came.
                let text = |bytes: &Option<Vec<u8>>| Some(String::from_utf8_lossy(bytes.as_deref()?).into_owned());
                let values = StringChunked::from_iter_options(name.into(), best.iter().map(text));
                Ok(values.into_column())
            }
            _ => Err(Failure::internal("this is no extreme")),
        }
    }

    /// The column of the result. A sum of whole numbers that int64 cannot hold is an error, never wrapped.
    pub fn finish(&self, function: Function, name: &str, dtype: DataType) -> Result<Result<Column, Overflow>, Failure> {
        let floats = |values: Vec<Option<f64>>| Series::new(name.into(), values).into_column();
        Ok(Ok(match self {
            Accumulator::Rows(n) | Accumulator::Present(n) => Series::new(name.into(), n).into_column(),
            Accumulator::Ints(sums) if function == Function::Sum => {
                let mut values = Vec::with_capacity(sums.len());
                for (group, (sum, n)) in sums.iter().enumerate() {
                    let Ok(short) = i64::try_from(*sum) else { return Ok(Err(Overflow { group, sum: Some(*sum) })) };
                    values.push((*n > 0).then_some(short));
                }
                Int64Chunked::from_iter_options(name.into(), values.into_iter()).into_column()
            }
            Accumulator::Ints(sums) => {
                floats(sums.iter().map(|(sum, n)| (*n > 0).then(|| *sum as f64 / *n as f64)).collect())
            }
            Accumulator::Floats(sums) if function == Function::Sum => {
                floats(sums.iter().map(|(sum, n)| (*n > 0).then(|| sum.value())).collect())
            }
            Accumulator::Floats(sums) => {
                floats(sums.iter().map(|(sum, n)| (*n > 0).then(|| sum.value() / *n as f64)).collect())
            }
            Accumulator::Moments(moments) => {
                let of = |m: &Moments| m.variance().map(|v| if function == Function::StdDev { v.sqrt() } else { v });
                floats(moments.iter().map(of).collect())
            }
            Accumulator::Decimals(sums, _) if function == Function::Sum => {
                let mut values = Vec::with_capacity(sums.len());
                for (group, (sum, n)) in sums.iter().enumerate() {
                    let Some(units) = sum.units() else { return Ok(Err(Overflow { group, sum: None })) };
                    values.push((*n > 0).then_some(units));
                }
                let units = Int128Chunked::from_iter_options(name.into(), values.into_iter()).into_series();
                of_physical(&units, dtype).map_err(Failure::internal)?.into_column()
            }
            Accumulator::Decimals(sums, scale) => {
                let unit = 10_f64.powi(i32::from(*scale));
                floats(sums.iter().map(|(sum, n)| (*n > 0).then(|| sum.as_float() / *n as f64 / unit)).collect())
            }
            Accumulator::IntExtreme { .. }
            | Accumulator::FloatExtreme { .. }
            | Accumulator::DecimalExtreme { .. }
            | Accumulator::BytesExtreme { .. } => self.extreme(name, dtype)?,
            Accumulator::Sketch(sketches) => {
                // This estimate depends on the registers alone, not on the order in which they were filled.
                let values: Vec<i64> = sketches.iter().map(|s| s.composite_estimate().round() as i64).collect();
                Series::new(name.into(), values).into_column()
            }
            Accumulator::Tally(_) => return Err(Failure::internal("a tally is no result")),
        }))
    }

    /// How many numbers and how many NaNs each group has.
    pub fn tally(&self) -> &[(i64, i64)] {
        match self {
            Accumulator::Tally(counts) => counts,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;

    #[test]
    fn nan_is_more_than_any_number() {
        let nan = f64::NAN;
        let frame = df!(
            "x" => [Some(nan), Some(2.0), Some(-1.0), Some(nan), None, Some(f64::INFINITY), Some(nan)],
            "s" => [None, Some("b"), Some("a"), Some("é"), None, Some(""), None],
        )
        .unwrap();
        let ids = [0, 0, 0, 0, 1, 2, 3];
        let best = |column: &str, function, dtype| {
            let mut accumulator = Accumulator::of(function, dtype).unwrap();
            accumulator.grow(4).unwrap();
            accumulator.add(&Cells::of(frame.column(column).unwrap()).unwrap(), &ids);
            // Merging with what another shard found is the same as seeing its rows.
            let state = accumulator.state("s0_", dtype).unwrap();
            let state = DataFrame::new(4, state).unwrap();
            accumulator.merge(&state, "s0_", &[0, 1, 2, 3]).unwrap();
            accumulator.finish(function, "best", dtype).unwrap().ok().unwrap()
        };
        let floats = |function| best("x", function, DataType::Float64).f64().unwrap().iter().collect::<Vec<_>>();
        let least = floats(Function::Min);
        assert_eq!(least[..3], [Some(-1.0), None, Some(f64::INFINITY)]);
        assert!(least[3].is_some_and(f64::is_nan));
        let most = floats(Function::Max);
        assert!(most[0].is_some_and(f64::is_nan) && most[3].is_some_and(f64::is_nan));
        assert_eq!(most[1..3], [None, Some(f64::INFINITY)]);
        let words = best("s", Function::Max, DataType::String);
        assert_eq!(words.str().unwrap().iter().collect::<Vec<_>>(), [Some("é"), None, Some(""), None]);
    }
}
