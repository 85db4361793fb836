//! Functions that make much of little: what `LPAD(line, 2000000000, 'x')` would make is known before it is made, and refused.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use shardmill_common::units::show_bytes;

/// Bytes that one call may make for the rows that the engine handles at once.
const MOST: u128 = 256 << 20;
/// Bytes of an element of a list, at least.
const ELEMENT: u128 = 16;

/// How many bytes a call makes at most.
type Grown = fn(&[ArrayRef]) -> Result<u128>;

const BOUNDED: [(&str, Grown); 8] = [
    ("lpad", padded),
    ("rpad", padded),
    ("repeat", repeated),
    ("replace", replaced),
    ("array_repeat", elements),
    ("array_resize", elements),
    ("range", counted),
    ("generate_series", counted),
];

/// The function as it is, or bounded if it is one of those.
pub fn bounded(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match BOUNDED.iter().find(|(name, _)| *name == function.name()) {
        Some((_, grown)) => Arc::new(ScalarUDF::new_from_impl(Bounded { function, grown: *grown })),
        None => function,
    }
}

#[derive(Debug)]
struct Bounded {
    function: Arc<ScalarUDF>,
    grown: Grown,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Bounded {}

impl std::hash::Hash for Bounded {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn coerce_types(&self, types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        self.function.coerce_types(types)
    }

    fn return_type(&self, types: &[ArrowType]) -> Result<ArrowType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let bytes = (self.grown)(&columns)?;
        if bytes > MOST {
            return exec_err!(
                "{} would make {} of some rows; a statement may make {} of them at once",
                self.name().to_uppercase(),
                show_bytes(u64::try_from(bytes).unwrap_or(u64::MAX)),
                show_bytes(MOST as u64)
            );
        }
        self.function.invoke_with_args(args)
    }
}

fn numbers(columns: &[ArrayRef], at: usize) -> Result<Int64Array> {
    match columns.get(at) {
        Some(column) if column.data_type().is_integer() || column.data_type().is_null() => {
            Ok(cast(column, &ArrowType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        Some(column) => plan_err!("a whole number is wanted, and this is {}", column.data_type()),
        None => Ok(Int64Array::from(Vec::<i64>::new())),
    }
}

fn lengths(columns: &[ArrayRef], at: usize) -> Result<Vec<u128>> {
    let Some(column) = columns.get(at) else { return Ok(Vec::new()) };
    let texts = cast(column, &ArrowType::Utf8View)?;
    Ok(texts.as_string_view().iter().map(|text| text.map_or(0, |t| t.len() as u128)).collect())
}

fn at_least_zero(n: Option<i64>) -> u128 {
    u128::try_from(n.unwrap_or(0)).unwrap_or(0)
}

fn padded(columns: &[ArrayRef]) -> Result<u128> {
    Ok(numbers(columns, 1)?.iter().map(at_least_zero).sum())
}

fn repeated(columns: &[ArrayRef]) -> Result<u128> {
    Ok(lengths(columns, 0)?.iter().zip(&numbers(columns, 1)?).map(|(length, n)| length * at_least_zero(n)).sum())
}

fn replaced(columns: &[ArrayRef]) -> Result<u128> {
    let (texts, from, by) = (lengths(columns, 0)?, lengths(columns, 1)?, lengths(columns, 2)?);
    // What is replaced goes: only what is longer makes more.
    let grown =
        texts.iter().zip(from).zip(by).map(|((text, from), by)| (text + 1) / from.max(1) * by.saturating_sub(from));
    Ok(grown.sum())
}

fn elements(columns: &[ArrayRef]) -> Result<u128> {
    Ok(numbers(columns, 1)?.iter().map(|n| at_least_zero(n) * ELEMENT).sum())
}

fn counted(columns: &[ArrayRef]) -> Result<u128> {
    let (first, second, step) = (numbers(columns, 0)?, numbers(columns, 1)?, numbers(columns, 2)?);
    let count = |row: usize| {
        let number = |of: &Int64Array| (row < of.len() && of.is_valid(row)).then(|| i128::from(of.value(row)));
        let start = number(&first).unwrap_or(0);
        let (start, stop) = if columns.len() > 1 { (start, number(&second).unwrap_or(0)) } else { (0, start) };
        (stop - start).unsigned_abs() / number(&step).unwrap_or(1).unsigned_abs().max(1)
    };
    Ok((0..first.len()).map(|row| count(row) * ELEMENT).sum())
}
