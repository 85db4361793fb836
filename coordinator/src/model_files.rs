//! Model versions as files that other programs read: `model.json`, and beside it what is large, as Parquet. The curvature is
//! kept here alone; everything else is in the journal too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use shardmill_common::ids::JobId;
use shardmill_common::model::{Curvature, Model, Packed};

const MODEL: &str = "model.json";
const CURVATURE: &str = "curvature.parquet";

fn invalid(e: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}

/// Writes the files of a version into `folder`, which appears with all of them or not at all.
pub fn write(folder: &Path, model: &Model) -> io::Result<()> {
    let parent = folder.parent().ok_or_else(|| invalid("the folder has no parent"))?;
    let unfinished = folder.with_extension("tmp");
    // Left over from a process that died here.
    remove(&unfinished)?;
    fs::create_dir_all(&unfinished)?;
    let lean = Model { curvature: None, ..model.clone() };
    let mut file = File::create(unfinished.join(MODEL))?;
    file.write_all(&serde_json::to_vec_pretty(&lean)?)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    if let Some(curvature) = &model.curvature {
        write_curvature(&unfinished.join(CURVATURE), curvature)?;
    }
    File::open(&unfinished)?.sync_all()?;
    remove(folder)?;
    fs::rename(&unfinished, folder)?;
    File::open(parent)?.sync_all()
}

/// Removes the files of a version, if there are any.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes the folders of jobs that are not needed, and what is left of folders in the making.
pub fn sweep(models: &Path, is_needed: impl Fn(JobId) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(models) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        let job = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<JobId>().ok());
        if job.is_some_and(|job| !is_needed(job)) || path.extension().is_some_and(|e| e == "tmp") {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The upper triangle, row by row: `row`, `column`, `value`.
fn write_curvature(path: &Path, curvature: &Curvature) -> io::Result<()> {
    let size = i32::try_from(curvature.size).map_err(invalid)?;
    let places = || (0..size).flat_map(|row| (row..size).map(move |column| (row, column)));
    let fields = [("row", DataType::Int32), ("column", DataType::Int32), ("value", DataType::Float64)];
    let schema = Arc::new(Schema::new(fields.map(|(name, dtype)| Field::new(name, dtype, false)).to_vec()));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int32Array::from_iter_values(places().map(|p| p.0))),
            Arc::new(Int32Array::from_iter_values(places().map(|p| p.1))),
            Arc::new(Float64Array::from(curvature.upper.0.clone())),
        ],
    )
    .map_err(invalid)?;
    let properties = WriterProperties::builder().set_compression(Compression::LZ4_RAW).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema, Some(properties)).map_err(invalid)?;
    writer.write(&batch).map_err(invalid)?;
    writer.into_inner().map_err(invalid)?.sync_all()
}

/// The curvature of a version; `None` if it has none.
pub fn read_curvature(folder: &Path) -> io::Result<Option<Curvature>> {
    let file = match File::open(folder.join(CURVATURE)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && folder.join(MODEL).exists() => return Ok(None),
        Err(e) => return Err(e),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build()).map_err(invalid)?;
    let (mut size, mut upper) = (0, Vec::new());
    for batch in reader {
        let batch = batch.map_err(invalid)?;
        let rows = batch.column_by_name("row").and_then(|c| c.as_any().downcast_ref::<Int32Array>());
        let values = batch.column_by_name("value").and_then(|c| c.as_any().downcast_ref::<Float64Array>());
        let (Some(rows), Some(values)) = (rows, values) else {
            return Err(invalid("it has no columns `row` and `value`"));
        };
        size = rows.iter().flatten().max().map_or(size, |last| size.max(last.saturating_add(1) as u32));
        upper.extend(values.iter().flatten());
    }
    let wanted = u64::from(size) * (u64::from(size) + 1) / 2;
    if upper.len() as u64 != wanted {
        return Err(invalid(format!("it has {} values, not the {wanted} of {size} parameters", upper.len())));
    }
    Ok(Some(Curvature { size, upper: Packed(upper) }))
}

#[cfg(test)]
mod tests {
    use shardmill_common::model::example;

    use super::*;

    #[test]
    fn folders_that_nobody_needs_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        for job in ["j7", "j8"] {
            write(&dir.path().join(job), &example().unwrap()).unwrap();
        }
        fs::create_dir(dir.path().join("j9.tmp")).unwrap();
        fs::create_dir(dir.path().join("of-somebody-else")).unwrap();
        sweep(dir.path(), |job| job == JobId(8)).unwrap();
        sweep(&dir.path().join("none"), |_| false).unwrap();
        let mut left: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["j8", "of-somebody-else"]);
    }

    #[test]
    fn what_is_written_is_read_to_the_bit_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("j7");
        let curvature = Curvature { size: 2, upper: Packed(vec![0.1, -3.0, 1e-300]) };
        let model = Model { curvature: Some(curvature.clone()), ..example().unwrap() };
        for _ in 0..2 {
            write(&folder, &model).unwrap();
            assert_eq!(read_curvature(&folder).unwrap(), Some(curvature.clone()));
        }
        let json: Model = serde_json::from_slice(&fs::read(folder.join(MODEL)).unwrap()).unwrap();
        assert_eq!(json, Model { curvature: None, ..model.clone() });
        write(&folder, &json).unwrap();
        assert_eq!(read_curvature(&folder).unwrap(), None);
        remove(&folder).unwrap();
        remove(&folder).unwrap();
        assert!(read_curvature(&folder).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
