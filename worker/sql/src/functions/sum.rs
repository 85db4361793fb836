//! SUM of whole numbers: added up exactly, and an error where the result leaves 64 bits. The engine's own begins again from the
//! other end. Sums of other types are the engine's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::datatypes::{DataType as ArrowType, Decimal128Type, Field as ArrowField, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::functions_aggregate::sum::{Sum, sum_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::passes;

/// Exact sums on their way: whole numbers of 128 bits, which 2^64 numbers of 64 bits do not leave.
const EXACT: ArrowType = ArrowType::Decimal128(38, 0);

pub fn function() -> AggregateUDF {
    AggregateUDF::new_from_impl(CheckedSum { engines: Sum::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    engines: Sum,
}

fn is_whole(dtype: &ArrowType) -> bool {
    *dtype == ArrowType::Int64
}

fn within(sum: i128) -> Result<i64> {
    i64::try_from(sum).map_err(|_| {
        DataFusionError::Execution(
            "a SUM of whole numbers goes beyond 64 bits; SUM(CAST(… AS DOUBLE)) does not".to_owned(),
        )
    })
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn return_type(&self, types: &[ArrowType]) -> Result<ArrowType> {
        self.engines.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_whole(args.return_type()) || args.is_distinct {
            return sum_udaf().accumulator(args);
        }
        Ok(Box::new(One::default()))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !is_whole(args.return_type()) || args.is_distinct {
            return sum_udaf().create_sliding_accumulator(args);
        }
        Ok(Box::new(One::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_whole(args.return_type()) || args.is_distinct {
            return sum_udaf().state_fields(args);
        }
        Ok(vec![
            Arc::new(ArrowField::new(format!("{}[sum]", args.name), EXACT, true)),
            Arc::new(ArrowField::new(format!("{}[count]", args.name), ArrowType::Int64, true)),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        if !is_whole(args.return_type()) {
            return sum_udaf().create_groups_accumulator(args);
        }
        Ok(Box::new(Groups::default()))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
    }
}

fn whole(values: &[ArrayRef]) -> Result<&Int64Array> {
    match values.first().and_then(|v| v.as_primitive_opt::<Int64Type>()) {
        Some(column) => Ok(column),
        None => internal_err!("a sum of whole numbers was given others"),
    }
}

fn states(values: &[ArrayRef]) -> Result<(&Decimal128Array, &Int64Array)> {
    let sums = values.first().and_then(|v| v.as_primitive_opt::<Decimal128Type>());
    match sums.zip(values.get(1).and_then(|v| v.as_primitive_opt::<Int64Type>())) {
        Some(both) => Ok(both),
        None => internal_err!("the state of a sum has other columns"),
    }
}

/// The sum of one group, or of a window that slides.
#[derive(Debug, Default)]
struct One {
    sum: i128,
    /// Numbers in it; of none there is no sum.
    count: i64,
}

fn total(column: &Int64Array) -> i128 {
    match column.null_count() {
        0 => column.values().iter().map(|n| i128::from(*n)).sum(),
        _ => column.iter().flatten().map(i128::from).sum(),
    }
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = whole(values)?;
        self.sum += total(column);
        self.count += (column.len() - column.null_count()) as i64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = whole(values)?;
        self.sum -= total(column);
        self.count -= (column.len() - column.null_count()) as i64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(if self.count == 0 { None } else { Some(within(self.sum)?) }))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = states(values)?;
        self.sum += sums.iter().flatten().sum::<i128>();
        self.count += counts.iter().flatten().sum::<i64>();
        Ok(())
    }
}

/// The sums of many groups.
#[derive(Debug, Default)]
struct Groups {
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl Groups {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn add(&mut self, group: usize, sum: i128, count: i64) {
        if let (Some(total), Some(numbers)) = (self.sums.get_mut(group), self.counts.get_mut(group)) {
            *total += sum;
            *numbers += count;
        }
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.grow(count);
        let column = whole(values)?;
        match filter {
            None if column.null_count() == 0 => {
                for (group, n) in groups.iter().zip(column.values()) {
                    self.add(*group, i128::from(*n), 1);
                }
            }
            _ => {
                for (row, (group, n)) in groups.iter().zip(column).enumerate() {
                    let counts = passes(filter, row);
                    if let (Some(n), true) = (n, counts) {
                        self.add(*group, i128::from(n), 1);
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let made = sums.into_iter().zip(counts).map(|(sum, n)| if n == 0 { Ok(None) } else { within(sum).map(Some) });
        Ok(Arc::new(made.collect::<Result<Int64Array>>()?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let sums = Decimal128Array::from(sums).with_precision_and_scale(38, 0)?;
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.grow(count);
        let (sums, counts) = states(values)?;
        for ((group, sum), n) in groups.iter().zip(sums).zip(counts) {
            self.add(*group, sum.unwrap_or(0), n.unwrap_or(0));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let column = whole(values)?;
        let counted = |row: usize| column.is_valid(row) && passes(filter, row);
        let sums = (0..column.len()).map(|row| if counted(row) { i128::from(column.value(row)) } else { 0 });
        let sums = Decimal128Array::from_iter_values(sums).with_precision_and_scale(38, 0)?;
        let counts = Int64Array::from_iter_values((0..column.len()).map(|row| i64::from(counted(row))));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}
