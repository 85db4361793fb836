//! Whole numbers that do not wrap, and the functions of numbers that others have.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::{Operator, ScalarUDF};

use super::kernel::{Call, Kernel};

/// The function that computes an operator of whole numbers; `None` where the engine's own will do.
pub fn checked(operator: Operator) -> Option<ScalarUDF> {
    let kernel = |name, run| Kernel { name, coerce: two_integers, gives: integer, run };
    Some(ScalarUDF::from(match operator {
        Operator::Plus => kernel("plus", |call| within(call, "+", numeric::add)),
        Operator::Minus => kernel("minus", |call| within(call, "-", numeric::sub)),
        Operator::Multiply => kernel("times", |call| within(call, "*", numeric::mul)),
        Operator::Modulo => kernel("modulo", |call| or_null(call, |a, b| Ok(a.wrapping_rem(b)))),
        _ => return None,
    }))
}

/// The quotient of two numbers, with a fraction. There is one zero and one NaN: the engine tells 0 from -0, and processors give
/// 0 / 0 a NaN with a minus, which would come first where NaN comes last.
pub fn divided() -> ScalarUDF {
    ScalarUDF::from(Kernel {
        name: "divided",
        coerce: |types| match types {
            [_, _] => Ok(vec![ArrowType::Float64; 2]),
            _ => plan_err!("two numbers are divided"),
        },
        gives: |_| ArrowType::Float64,
        run: |call| {
            let [a, b] = &call.columns[..] else { return plan_err!("two numbers are divided") };
            let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
            let divided: Float64Array = arrow::compute::binary(a, b, |a, b| {
                let quotient = a / b;
                if quotient.is_nan() { f64::NAN } else { quotient + 0.0 }
            })?;
            Ok(Arc::new(divided))
        },
    })
}

pub fn functions() -> Vec<ScalarUDF> {
    let cast = |name, run| Kernel { name, coerce: one, gives: integer, run };
    [
        Kernel {
            name: "div",
            coerce: two_integers,
            gives: integer,
            run: |call| or_null(call, |a, b| a.checked_div(b).ok_or_else(|| beyond(a, "//", b))),
        },
        cast("cast_to_integer", |call| to_integer(call, false)),
        cast("try_cast_to_integer", |call| to_integer(call, true)),
        Kernel {
            name: "log1p",
            coerce: one_float,
            gives: |_| ArrowType::Float64,
            run: |call| {
                let values: Float64Array = float(call)?.unary(f64::ln_1p);
                Ok(Arc::new(values))
            },
        },
    ]
    .into_iter()
    .map(ScalarUDF::from)
    .collect()
}

fn integer(_: &[ArrowType]) -> ArrowType {
    ArrowType::Int64
}

fn two_integers(types: &[ArrowType]) -> Result<Vec<ArrowType>> {
    let fits = |t: &ArrowType| t.is_integer() || t.is_null();
    match types {
        [a, b] if fits(a) && fits(b) => Ok(vec![ArrowType::Int64; 2]),
        [a, b] => plan_err!("`//` and DIV divide whole numbers, and these are {a} and {b}: use / and TRUNC"),
        _ => plan_err!("DIV is called as DIV(number, by)"),
    }
}

fn one(types: &[ArrowType]) -> Result<Vec<ArrowType>> {
    match types {
        [ArrowType::Utf8 | ArrowType::LargeUtf8] => Ok(vec![ArrowType::Utf8View]),
        [ArrowType::Float16 | ArrowType::Float32] => Ok(vec![ArrowType::Float64]),
        [other] => Ok(vec![other.clone()]),
        _ => plan_err!("one value is cast at a time"),
    }
}

fn one_float(types: &[ArrowType]) -> Result<Vec<ArrowType>> {
    match types {
        [t] if t.is_numeric() || t.is_null() => Ok(vec![ArrowType::Float64]),
        _ => plan_err!("LOG1P is called as LOG1P(number)"),
    }
}

fn float(call: &Call) -> Result<&Float64Array> {
    match call.columns.first().and_then(|c| c.as_primitive_opt::<Float64Type>()) {
        Some(column) => Ok(column),
        None => plan_err!("a number is missing"),
    }
}

fn integers(call: &Call) -> Result<(&Int64Array, &Int64Array)> {
    let column = |at: usize| call.columns.get(at).and_then(|c| c.as_primitive_opt::<Int64Type>());
    match (column(0), column(1)) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => plan_err!("two whole numbers are wanted"),
    }
}

fn beyond(a: i64, op: &str, b: i64) -> DataFusionError {
    DataFusionError::Execution(format!("{a} {op} {b} goes beyond 64 bits; CAST one of them to DOUBLE"))
}

/// The engine's checked kernel; where it stops, the first pair that leaves 64 bits is named.
fn within(
    call: &Call,
    op: &str,
    kernel: fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef> {
    let (a, b) = integers(call)?;
    kernel(a, b).map_err(|error| {
        let leaves = |(a, b): &(i64, i64)| {
            match op {
                "+" => a.checked_add(*b),
                "-" => a.checked_sub(*b),
                _ => a.checked_mul(*b),
            }
            .is_none()
        };
        match a.iter().zip(b).filter_map(|(a, b)| a.zip(b)).find(leaves) {
            Some((a, b)) => beyond(a, op, b),
            None => error.into(),
        }
    })
}

/// Row by row; null where there is nothing to divide by.
fn or_null(call: &Call, of: impl Fn(i64, i64) -> Result<i64>) -> Result<ArrayRef> {
    let (a, b) = integers(call)?;
    let made = a.iter().zip(b).map(|pair| match pair {
        (Some(a), Some(b)) if b != 0 => of(a, b).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(made.collect::<Result<Int64Array>>()?))
}

/// The nearest whole number, of two equally near ones the even one; of text, the number it is.
fn to_integer(call: &Call, lenient: bool) -> Result<ArrayRef> {
    let Some(column) = call.columns.first() else { return plan_err!("there is nothing to cast") };
    let wrong = |shown: String| {
        DataFusionError::Execution(format!("CAST: {shown} is no whole number of 64 bits; TRY_CAST gives null"))
    };
    let each = |cells: &mut dyn Iterator<Item = Option<(Option<i64>, String)>>| -> Result<ArrayRef> {
        let made = cells.map(|cell| match cell {
            None => Ok(None),
            Some((Some(n), _)) => Ok(Some(n)),
            Some((None, _)) if lenient => Ok(None),
            Some((None, shown)) => Err(wrong(shown)),
        });
        Ok(Arc::new(made.collect::<Result<Int64Array>>()?))
    };
    match column.data_type() {
        ArrowType::Float64 => {
            let cells = column.as_primitive::<Float64Type>();
            each(
                &mut cells
                    .iter()
                    .map(|x| x.map(|x| (whole(x), if whole(x).is_none() { x.to_string() } else { String::new() }))),
            )
        }
        ArrowType::Utf8View => {
            let cells = column.as_string_view();
            let read = |text: &str| text.trim().parse().ok().or_else(|| whole(text.trim().parse().ok()?));
            each(&mut cells.iter().map(|t| t.map(|t| (read(t), format!("`{}`", t.escape_debug())))))
        }
        _ => {
            let options = CastOptions { safe: lenient, ..CastOptions::default() };
            Ok(cast_with_options(column, &ArrowType::Int64, &options)?)
        }
    }
}

fn whole(x: f64) -> Option<i64> {
    // The bound itself is a power of two, and no longer fits.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let near = x.round_ties_even();
    (-BOUND..BOUND).contains(&near).then_some(near as i64)
}
