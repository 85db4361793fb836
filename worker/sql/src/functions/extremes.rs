//! MIN and MAX of numbers with a fraction, among which NaN is the greatest. The engine's own compare NaN with nothing, so that
//! their result depends on the order of the rows. Those of other types are the engine's.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType as ArrowType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::passes;

pub fn functions() -> [AggregateUDF; 2] {
    [false, true].map(|greatest| AggregateUDF::new_from_impl(Extreme { greatest, engines: engines(greatest) }))
}

fn engines(greatest: bool) -> Arc<AggregateUDF> {
    if greatest { max_udaf() } else { min_udaf() }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    greatest: bool,
    engines: Arc<AggregateUDF>,
}

/// A number as one that is ordered: all NaN are one, and the greatest.
fn key(x: f64) -> i64 {
    let bits = if x.is_nan() {
        f64::NAN.to_bits()
    } else if x == 0.0 {
        0
    } else {
        x.to_bits()
    };
    let bits = bits.cast_signed();
    // The order of floats is that of their bits as numbers with a sign, where negative ones are turned round.
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

impl Extreme {
    fn is_ours(dtype: &ArrowType) -> bool {
        *dtype == ArrowType::Float64
    }

    fn one(&self) -> One {
        One { greatest: self.greatest, values: BTreeMap::new(), slides: false }
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.engines.name()
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn coerce_types(&self, types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.engines.coerce_types(types)
    }

    fn return_type(&self, types: &[ArrowType]) -> Result<ArrowType> {
        self.engines.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Self::is_ours(args.return_type()) {
            true => Ok(Box::new(self.one())),
            false => self.engines.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Self::is_ours(args.return_type()) {
            true => Ok(Box::new(One { slides: true, ..self.one() })),
            false => self.engines.create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.engines.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        Self::is_ours(args.return_type()) || self.engines.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match Self::is_ours(args.return_type()) {
            true => Ok(Box::new(Groups { greatest: self.greatest, values: Vec::new() })),
            false => self.engines.create_groups_accumulator(args),
        }
    }

    fn is_descending(&self) -> Option<bool> {
        Some(self.greatest)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

fn numbers(values: &[ArrayRef]) -> Result<&Float64Array> {
    match values.first().and_then(|v| v.as_primitive_opt::<Float64Type>()) {
        Some(column) => Ok(column),
        None => internal_err!("an extreme of numbers was asked of others"),
    }
}

/// The extreme of one group, or of a window that slides, which forgets values and so keeps all of them with their number.
#[derive(Debug)]
struct One {
    greatest: bool,
    values: BTreeMap<i64, (f64, u64)>,
    slides: bool,
}

impl One {
    fn extreme(&self) -> Option<f64> {
        let found = if self.greatest { self.values.last_key_value() } else { self.values.first_key_value() };
        found.map(|(_, (value, _))| *value)
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for x in numbers(values)?.iter().flatten() {
            self.values.entry(key(x)).or_insert((x, 0)).1 += 1;
            if !self.slides && self.values.len() > 1 {
                let _ = if self.greatest { self.values.pop_first() } else { self.values.pop_last() };
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for x in numbers(values)?.iter().flatten() {
            if let Some((_, count)) = self.values.get_mut(&key(x)) {
                *count -= 1;
                if *count == 0 {
                    self.values.remove(&key(x));
                }
            }
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.slides
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.extreme()))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * size_of::<(i64, (f64, u64))>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }
}

/// The extremes of many groups.
#[derive(Debug)]
struct Groups {
    greatest: bool,
    values: Vec<Option<f64>>,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.values.resize(count, None);
        for (row, (group, x)) in groups.iter().zip(numbers(values)?).enumerate() {
            let counts = passes(filter, row);
            let (Some(x), true, Some(best)) = (x, counts, self.values.get_mut(*group)) else { continue };
            let better = best.is_none_or(|best| if self.greatest { key(x) > key(best) } else { key(x) < key(best) });
            if better {
                *best = Some(x);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from(emit.take_needed(&mut self.values))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.update_batch(values, groups, None, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let counts = |row: usize| passes(filter, row);
        let kept = numbers(values)?.iter().enumerate().map(|(row, x)| x.filter(|_| counts(row)));
        Ok(vec![Arc::new(kept.collect::<Float64Array>())])
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<Option<f64>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_numbers() {
        let ordered = [f64::NEG_INFINITY, -2.5, -1e-300, 0.0, 1e-300, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        assert!(ordered.is_sorted_by(|a, b| key(*a) < key(*b)));
        assert_eq!((key(-0.0), key(-f64::NAN)), (key(0.0), key(f64::NAN)));
    }
}
