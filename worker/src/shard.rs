//! Shards: one function opens a shard and applies its deletion vector; every reader goes through it. One writes a shard.

use std::io::Cursor;

use bytes::Bytes;
use polars::prelude::{
    BooleanChunked, Column, DataFrame, NewChunkedArray, ParquetCompression, ParquetReader, ParquetWriter, SerReader,
    StatisticsOptions,
};
use roaring::RoaringBitmap;
use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::manifest::{DeletionVector, ShardEntry};
use shardmill_common::schema::{DataType, Schema};

use crate::fetch::{Fetcher, Where};
use crate::frame::polars_type;
use crate::store::Store;

/// The rows of a shard that a version shows, in the version's columns and types.
pub fn open(fetch: &Fetcher, place: &Where, shard: &ShardEntry, schema: &Schema) -> Result<DataFrame, Failure> {
    open_columns(fetch, place, shard, schema, None)
}

/// The same, of some columns only.
pub fn open_columns(
    fetch: &Fetcher,
    place: &Where,
    shard: &ShardEntry,
    schema: &Schema,
    columns: Option<&[String]>,
) -> Result<DataFrame, Failure> {
    let data = fetch.object(&shard.object, place)?;
    let frame = decode(&data, shard, columns)?;
    let frame = match deletions(fetch, place, shard)? {
        Some(dropped) => frame.filter(&keep_mask(&dropped, shard.stored_rows)).map_err(Failure::internal)?,
        None => frame,
    };
    conform(frame, schema, columns)
}

fn unreadable(id: ObjectId, e: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("shard {id} cannot be read: {e}"))
}

fn decode(data: &Bytes, shard: &ShardEntry, columns: Option<&[String]>) -> Result<DataFrame, Failure> {
    let id = shard.object.id;
    let mut reader = ParquetReader::new(Cursor::new(data.clone()));
    if let Some(wanted) = columns {
        // A column that came later is not in an older shard.
        let there = reader.schema().map_err(|e| unreadable(id, e))?;
        reader = reader.with_columns(Some(wanted.iter().filter(|c| there.contains(c)).cloned().collect()));
    }
    let frame = reader.finish().map_err(|e| unreadable(id, e))?;
    if frame.width() > 0 && frame.height() as u64 != shard.stored_rows {
        return Err(unreadable(id, format!("it has {} rows, not {}", frame.height(), shard.stored_rows)));
    }
    Ok(frame)
}

/// The rows that a version leaves out of a shard.
pub fn deletions(fetch: &Fetcher, place: &Where, shard: &ShardEntry) -> Result<Option<RoaringBitmap>, Failure> {
    let Some(vector) = &shard.deletions else { return Ok(None) };
    let data = fetch.object(&vector.object, place)?;
    let vectors = usize::try_from(vector.at).ok().and_then(|at| data.get(at..));
    let vectors = vectors.ok_or_else(|| unreadable(vector.object.id, format!("it has no byte {}", vector.at)))?;
    let bitmap = RoaringBitmap::deserialize_from(vectors).map_err(|e| unreadable(vector.object.id, e))?;
    if bitmap.len() != vector.dropped {
        return Err(unreadable(vector.object.id, format!("it drops {} rows, not {}", bitmap.len(), vector.dropped)));
    }
    Ok(Some(bitmap))
}

/// Which of so many rows stay.
pub fn keep_mask(dropped: &RoaringBitmap, rows: u64) -> BooleanChunked {
    let mut keep = vec![true; rows as usize];
    for row in dropped {
        if let Some(slot) = keep.get_mut(row as usize) {
            *slot = false;
        }
    }
    BooleanChunked::from_slice("keep".into(), &keep)
}

/// Brings an older or narrower shard to the version's schema: missing columns are null, types are widened.
pub fn conform(frame: DataFrame, schema: &Schema, columns: Option<&[String]>) -> Result<DataFrame, Failure> {
    let height = frame.height();
    let mut out = Vec::with_capacity(schema.len());
    for field in &schema.fields {
        if columns.is_some_and(|wanted| !wanted.contains(&field.name)) {
            continue;
        }
        // What has no value yet is text to whoever reads it.
        let wanted = if field.dtype == DataType::Null { DataType::String } else { field.dtype };
        let dtype = polars_type(wanted);
        let column = match frame.column(&field.name) {
            Ok(column) if *column.dtype() == dtype => column.clone(),
            Ok(column) if column.null_count() == height => Column::full_null(column.name().clone(), height, &dtype),
            Ok(column) => crate::frame::widen(column, wanted)?,
            Err(_) => Column::full_null(field.name.as_str().into(), height, &dtype),
        };
        out.push(column);
    }
    DataFrame::new(height, out).map_err(Failure::internal)
}

/// A frame as Parquet.
pub fn encode(frame: &mut DataFrame) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::with_capacity(frame.estimated_size() / 3);
    ParquetWriter::new(&mut data)
        .with_compression(ParquetCompression::Lz4Raw)
        .with_statistics(StatisticsOptions::empty())
        .finish(frame)
        .map_err(|e| Failure::internal(format!("cannot write Parquet: {e}")))?;
    Ok(data)
}

/// Writes a frame as a new shard of this store.
pub fn write(store: &Store, frame: &mut DataFrame) -> Result<ShardEntry, Failure> {
    let rows = frame.height() as u64;
    let data = encode(frame)?;
    Ok(ShardEntry { object: store.write(&data)?, stored_rows: rows, deletions: None })
}

/// Writes the sets of rows dropped from several shards as one object: a file costs more than what is in it.
pub fn write_deletions(store: &Store, dropped: &[RoaringBitmap]) -> Result<Vec<DeletionVector>, Failure> {
    let mut data = Vec::with_capacity(dropped.iter().map(RoaringBitmap::serialized_size).sum());
    let mut begins = Vec::with_capacity(dropped.len());
    for vector in dropped {
        begins.push(data.len() as u64);
        vector.serialize_into(&mut data).map_err(Failure::internal)?;
    }
    let object = store.write(&data)?;
    let of = |(at, vector): (u64, &RoaringBitmap)| DeletionVector { object: object.clone(), at, dropped: vector.len() };
    Ok(begins.into_iter().zip(dropped).map(of).collect())
}
