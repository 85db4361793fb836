//! Columns between the two libraries of Arrow arrays, by Arrow's C data interface: the buffers are shared, not copied.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array, new_null_array};
use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use polars::prelude::{Column, CompatLevel, DataFrame, DataType as PolarsType, IntoColumn, Series};
use polars_arrow::ffi;
use shardmill_common::failure::Failure;

/// All rows of a frame.
pub fn to_batch(frame: &DataFrame) -> Result<RecordBatch, Failure> {
    let mut fields = Vec::with_capacity(frame.width());
    let mut columns = Vec::with_capacity(frame.width());
    for column in frame.columns() {
        let array = to_array(column)?;
        fields.push(ArrowField::new(column.name().as_str(), array.data_type().clone(), true));
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(frame.height()));
    RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), columns, &options).map_err(Failure::internal)
}

/// The rows as a frame.
pub fn to_frame(batch: &RecordBatch) -> Result<DataFrame, Failure> {
    let schema = batch.schema();
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(array, field)| to_column(field.name(), array)).collect::<Result<Vec<_>, _>>()?;
    DataFrame::new(batch.num_rows(), columns).map_err(Failure::internal)
}

/// A column as an array in one piece.
fn to_array(column: &Column) -> Result<ArrayRef, Failure> {
    if *column.dtype() == PolarsType::Null {
        // One of the libraries has a buffer for it, the other has none.
        return Ok(new_null_array(&ArrowType::Null, column.len()));
    }
    let series = column.as_materialized_series().rechunk();
    let field = series.dtype().to_arrow_field(series.name().clone(), CompatLevel::newest());
    let schema = ffi::export_field_to_c(&field);
    let array = ffi::export_array_to_c(series.to_arrow(0, CompatLevel::newest()));
    // SAFETY: both are the structures of the C data interface, which is the same for both libraries; each is moved from the one
    // that filled it to the one that releases it.
    let data = unsafe {
        let schema: FFI_ArrowSchema = std::mem::transmute(schema);
        let array: FFI_ArrowArray = std::mem::transmute(array);
        from_ffi(array, &schema)
    };
    data.map(make_array).map_err(Failure::internal)
}

/// An array as a column of this name.
pub fn to_column(name: &str, array: &ArrayRef) -> Result<Column, Failure> {
    if *array.data_type() == ArrowType::Null {
        return Ok(Column::full_null(name.into(), array.len(), &PolarsType::Null));
    }
    let (array, schema) = to_ffi(&array.to_data()).map_err(Failure::internal)?;
    // SAFETY: as above, the other way round.
    let imported = unsafe {
        let schema: ffi::ArrowSchema = std::mem::transmute(schema);
        let array: ffi::ArrowArray = std::mem::transmute(array);
        ffi::import_field_from_c(&schema)
            .and_then(|field| Ok((ffi::import_array_from_c(array, field.dtype.clone())?, field)))
    };
    let (array, mut field) = imported.map_err(Failure::internal)?;
    field.name = name.into();
    Series::try_from((&field, array)).map(IntoColumn::into_column).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::df;
    use polars::prelude::{TimeUnit, TimeZone};

    fn frame() -> DataFrame {
        let mut frame = df!(
            "n" => [Some(1i64), None, Some(-3)],
            "x" => [Some(0.5), Some(f64::NAN), None],
            "b" => [Some(true), None, Some(false)],
            "t" => [Some("short"), None, Some("a text that is too long to lie in its view")],
        )
        .unwrap();
        let n = frame.column("n").unwrap().clone();
        for (name, dtype) in [
            ("day", PolarsType::Date),
            ("time", PolarsType::Datetime(TimeUnit::Microseconds, None)),
            ("utc", PolarsType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))),
        ] {
            let source = if name == "day" { n.cast(&PolarsType::Int32).unwrap() } else { n.clone() };
            frame.with_column(source.cast(&dtype).unwrap().with_name(name.into())).unwrap();
        }
        frame.with_column(Column::full_null("nothing".into(), 3, &PolarsType::Null)).unwrap();
        frame
    }

    #[test]
    fn frames_come_back_as_they_were() {
        let frame = frame();
        for part in [frame.clone(), frame.slice(1, 2), frame.slice(0, 0), frame.vstack(&frame.slice(1, 1)).unwrap()] {
            let batch = to_batch(&part).unwrap();
            assert_eq!(batch.num_rows(), part.height());
            assert!(to_frame(&batch).unwrap().equals_missing(&part), "{part}");
        }
        let none = DataFrame::new(4, Vec::new()).unwrap();
        assert_eq!(to_frame(&to_batch(&none).unwrap()).unwrap().height(), 4);
    }

    #[test]
    fn buffers_are_shared() {
        let frame = df!("n" => (0..1000i64).collect::<Vec<_>>()).unwrap();
        let before = frame.column("n").unwrap().i64().unwrap().cont_slice().unwrap().as_ptr();
        let batch = to_batch(&frame).unwrap();
        assert_eq!(batch.column(0).to_data().buffers()[0].as_ptr().cast::<i64>(), before);
        let after = to_frame(&batch).unwrap();
        assert_eq!(after.column("n").unwrap().i64().unwrap().cont_slice().unwrap().as_ptr(), before);
    }
}
