//! SUM of whole numbers and decimals: added up exactly, and an error where the result leaves 64 bits or 38 digits. The engine's own
//! begins again from the other end. Sums of other types are the engine's.

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

/// Most digits of a sum.
const DIGITS: u8 = 38;

pub fn function() -> AggregateUDF {
    AggregateUDF::new_from_impl(CheckedSum { engines: Sum::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    engines: Sum,
}

/// What is added up exactly: numbers that are so many units each. Sums of 2^64 numbers of 64 bits do not leave 128 bits.
#[derive(Clone, Copy, Debug)]
enum Units {
    Whole,
    Decimal { precision: u8, scale: i8 },
}

impl Units {
    fn of(sum: &ArrowType) -> Option<Self> {
        match sum {
            ArrowType::Int64 => Some(Units::Whole),
            ArrowType::Decimal128(precision, scale) => Some(Units::Decimal { precision: *precision, scale: *scale }),
            _ => None,
        }
    }

    /// The type of sums on their way.
    const fn exact(self) -> ArrowType {
        match self {
            Units::Whole => ArrowType::Decimal128(DIGITS, 0),
            Units::Decimal { scale, .. } => ArrowType::Decimal128(DIGITS, scale),
        }
    }

    fn exact_sum(self, sum: i128) -> Result<ScalarValue> {
        let scale = match self {
            Units::Whole => 0,
            Units::Decimal { scale, .. } => scale,
        };
        Ok(ScalarValue::Decimal128(Some(within(sum, DIGITS)?), DIGITS, scale))
    }

    /// The units of the rows of a column.
    fn each<'a>(self, values: &'a [ArrayRef]) -> Result<Column<'a>> {
        let column = values.first();
        let found = match self {
            Units::Whole => column.and_then(|v| v.as_primitive_opt::<Int64Type>()).map(Column::Whole),
            Units::Decimal { .. } => column.and_then(|v| v.as_primitive_opt::<Decimal128Type>()).map(Column::Decimal),
        };
        match found {
            Some(column) => Ok(column),
            None => internal_err!("a sum was given numbers of another type"),
        }
    }

    /// A sum in the type of the result.
    fn scalar(self, sum: Option<i128>) -> Result<ScalarValue> {
        Ok(match self {
            Units::Whole => ScalarValue::Int64(sum.map(whole).transpose()?),
            Units::Decimal { precision, scale } => {
                ScalarValue::Decimal128(sum.map(|sum| within(sum, precision)).transpose()?, precision, scale)
            }
        })
    }

    fn array(self, sums: impl Iterator<Item = Option<i128>>) -> Result<ArrayRef> {
        Ok(match self {
            Units::Whole => Arc::new(sums.map(|sum| sum.map(whole).transpose()).collect::<Result<Int64Array>>()?),
            Units::Decimal { precision, scale } => {
                let sums = sums.map(|sum| sum.map(|sum| within(sum, precision)).transpose());
                Arc::new(sums.collect::<Result<Decimal128Array>>()?.with_precision_and_scale(precision, scale)?)
            }
        })
    }
}

/// Numbers to add up.
enum Column<'a> {
    Whole(&'a Int64Array),
    Decimal(&'a Decimal128Array),
}

impl Column<'_> {
    fn len(&self) -> usize {
        match self {
            Column::Whole(column) => column.len(),
            Column::Decimal(column) => column.len(),
        }
    }

    fn null_count(&self) -> usize {
        match self {
            Column::Whole(column) => column.null_count(),
            Column::Decimal(column) => column.null_count(),
        }
    }

    fn get(&self, row: usize) -> Option<i128> {
        match self {
            Column::Whole(column) => column.is_valid(row).then(|| i128::from(column.value(row))),
            Column::Decimal(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }

    fn total(&self) -> Result<i128> {
        match self {
            Column::Whole(column) if column.null_count() == 0 => {
                Ok(column.values().iter().map(|n| i128::from(*n)).sum())
            }
            _ => (0..self.len()).filter_map(|row| self.get(row)).try_fold(0, added),
        }
    }
}

fn whole(sum: i128) -> Result<i64> {
    i64::try_from(sum).map_err(|_| {
        DataFusionError::Execution(
            "a SUM of whole numbers goes beyond 64 bits; SUM(CAST(… AS DOUBLE)) does not".to_owned(),
        )
    })
}

fn too_long() -> DataFusionError {
    let what = format!("a SUM of decimals has more than {DIGITS} digits; SUM(CAST(… AS DOUBLE)) does not");
    DataFusionError::Execution(what)
}

fn within(sum: i128, precision: u8) -> Result<i128> {
    let most = 10_u128.checked_pow(precision.into());
    if most.is_some_and(|most| sum.unsigned_abs() < most) { Ok(sum) } else { Err(too_long()) }
}

fn added(sum: i128, more: i128) -> Result<i128> {
    sum.checked_add(more).ok_or_else(too_long)
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
        match Units::of(args.return_type()) {
            Some(units) if !args.is_distinct => Ok(Box::new(One { units, sum: 0, count: 0 })),
            _ => sum_udaf().accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match Units::of(args.return_type()) {
            Some(units) if !args.is_distinct => Ok(Box::new(One { units, sum: 0, count: 0 })),
            _ => sum_udaf().create_sliding_accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let exact = match Units::of(args.return_type()) {
            Some(units) if !args.is_distinct => units.exact(),
            _ => return sum_udaf().state_fields(args),
        };
        Ok(vec![
            Arc::new(ArrowField::new(format!("{}[sum]", args.name), exact, true)),
            Arc::new(ArrowField::new(format!("{}[count]", args.name), ArrowType::Int64, true)),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match Units::of(args.return_type()) {
            Some(units) => Ok(Box::new(Groups { units, sums: Vec::new(), counts: Vec::new() })),
            None => sum_udaf().create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> datafusion::logical_expr::utils::AggregateOrderSensitivity {
        datafusion::logical_expr::utils::AggregateOrderSensitivity::Insensitive
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
#[derive(Debug)]
struct One {
    units: Units,
    sum: i128,
    /// Numbers in it; of none there is no sum.
    count: i64,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = self.units.each(values)?;
        self.sum = added(self.sum, column.total()?)?;
        self.count += (column.len() - column.null_count()) as i64;
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let column = self.units.each(values)?;
        self.sum = self.sum.checked_sub(column.total()?).ok_or_else(too_long)?;
        self.count -= (column.len() - column.null_count()) as i64;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.units.scalar((self.count > 0).then_some(self.sum))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = self.units.exact_sum(self.sum)?;
        Ok(vec![sum, ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = states(values)?;
        self.sum = sums.iter().flatten().try_fold(self.sum, added)?;
        self.count += counts.iter().flatten().sum::<i64>();
        Ok(())
    }
}

/// The sums of many groups.
#[derive(Debug)]
struct Groups {
    units: Units,
    sums: Vec<i128>,
    counts: Vec<i64>,
}

impl Groups {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    #[inline]
    fn add(&mut self, group: usize, sum: i128, count: i64) -> Result<()> {
        if let (Some(total), Some(numbers)) = (self.sums.get_mut(group), self.counts.get_mut(group)) {
            *total = added(*total, sum)?;
            *numbers += count;
        }
        Ok(())
    }

    fn exact(&self, sums: impl Iterator<Item = i128>) -> Result<Decimal128Array> {
        let sums = sums.map(|sum| within(sum, DIGITS)).collect::<Result<Vec<i128>>>()?;
        Ok(Decimal128Array::from(sums).with_data_type(self.units.exact()))
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
        match (self.units.each(values)?, filter) {
            (Column::Whole(column), None) if column.null_count() == 0 => {
                for (group, n) in groups.iter().zip(column.values()) {
                    self.add(*group, i128::from(*n), 1)?;
                }
            }
            (Column::Decimal(column), None) if column.null_count() == 0 => {
                for (group, units) in groups.iter().zip(column.values()) {
                    self.add(*group, *units, 1)?;
                }
            }
            (column, _) => {
                for (row, group) in groups.iter().enumerate() {
                    if let (Some(n), true) = (column.get(row), passes(filter, row)) {
                        self.add(*group, n, 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        self.units.array(sums.into_iter().zip(counts).map(|(sum, n)| (n > 0).then_some(sum)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let sums = self.exact(sums.into_iter())?;
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.grow(count);
        let (sums, counts) = states(values)?;
        for ((group, sum), n) in groups.iter().zip(sums).zip(counts) {
            self.add(*group, sum.unwrap_or(0), n.unwrap_or(0))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let column = self.units.each(values)?;
        let counted = |row: usize| column.get(row).filter(|_| passes(filter, row));
        let sums = self.exact((0..column.len()).map(|row| counted(row).unwrap_or(0)))?;
        let counts = Int64Array::from_iter_values((0..column.len()).map(|row| i64::from(counted(row).is_some())));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<i64>()
    }
}
