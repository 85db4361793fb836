//! The one pass over a source: its checksum, its chunks, and samples of later records, all in one reading.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use shardmill_common::kinds::ingest::Source;
use shardmill_common::manifest::ObjectRef;
use shardmill_common::schema::Schema;
use shardmill_common::text::{Chunks, Cut, CutError, Cutter, Offsets};
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use super::columnar::ranges;
use super::error::{SourceError, UploadError};
use super::inspect::{Body, Feed, Inspected, Place};
use super::kind::Packing;
use super::open::{Pulse, Tee, explain};
use super::options::ReadOptions;
use super::sample::{LATER, grammar, sample};
use super::script::{Script, TextReader};
use super::upload::{Payload, Uploader};
use crate::error::FlowError;

/// Later chunks of a file that are sampled.
const SAMPLES: usize = 16;

/// How sources are passed over.
pub struct Pass<'a> {
    pub chunk_size: u64,
    pub options: &'a ReadOptions,
    /// Workers read plain files themselves.
    pub local_files: bool,
    pub uploader: Option<&'a Uploader>,
    pub pulse: &'a Pulse,
}

/// A source after the pass.
pub struct Passed {
    pub source: Source,
    /// Columns and types, of the start and of later samples.
    pub schema: Schema,
    pub pieces: Vec<Piece>,
    pub uploads: Vec<JoinHandle<Result<ObjectRef, FlowError>>>,
    /// A copy that must stay until the uploads are over.
    pub keep: Option<NamedTempFile>,
}

/// A chunk whose place may still be on its way.
pub struct Piece {
    pub bytes: u64,
    pub first_line: u64,
    pub groups: Option<(u64, u64)>,
    pub place: PiecePlace,
}

pub enum PiecePlace {
    File {
        path: String,
        offset: u64,
    },
    /// An index into the uploads of its source.
    Upload(usize),
}

/// The path as a worker of this process reads it, or `None` where the bytes must be uploaded.
pub fn readable_path(source: &Inspected, local_files: bool) -> Option<String> {
    let path = match &source.body {
        Body::Text { feed: Feed::File(path), script, .. } if source.packing == Packing::Plain && script.is_plain() => {
            path
        }
        Body::Columnar { place: Place::File(path), .. } => path,
        _ => return None,
    };
    // A path that is not Unicode cannot be written into a job; its bytes can.
    local_files.then(|| std::path::absolute(path).ok()?.to_str().map(str::to_owned)).flatten()
}

/// Size and checksum of a file, from a reading of its own.
pub fn checksum_of(path: &Path, pulse: &Pulse) -> io::Result<(u64, String)> {
    Tee::new(Box::new(File::open(path)?), pulse.clone()).finish()
}

impl Pass<'_> {
    pub fn run(&self, source: Inspected) -> Result<Passed, FlowError> {
        let by_path = readable_path(&source, self.local_files);
        let Inspected {
            name,
            location,
            size,
            modified,
            packing,
            format,
            schema,
            left_out: _,
            constants,
            body,
            read_as,
            remarkable: _,
            notices,
        } = source;
        let source = Source {
            name,
            location,
            size,
            modified,
            checksum: String::new(),
            compression: packing.name().map(str::to_owned),
            format,
            read_as,
            constants,
            notices,
            rows: None,
        };
        let mut passed = Passed { source, schema, pieces: Vec::new(), uploads: Vec::new(), keep: None };
        match body {
            Body::Text { feed, script, offset, first_line } => {
                self.text(&mut passed, packing, feed, &script, (offset, first_line), by_path)?
            }
            Body::Columnar { place, groups } => self.columnar(&mut passed, place, &groups, by_path)?,
        }
        Ok(passed)
    }

    fn text(
        &self,
        passed: &mut Passed,
        packing: Packing,
        feed: Feed,
        script: &Script,
        (offset, first_line): (u64, u64),
        by_path: Option<String>,
    ) -> Result<(), FlowError> {
        let name = passed.source.name.clone();
        let broken = |e: io::Error| explain(&name, packing, e);
        let raw = feed.open().map_err(broken)?;
        let mut data = TextReader::new(Tee::new(raw, self.pulse.clone()), packing, script).map_err(broken)?;
        io::copy(&mut data.by_ref().take(offset), &mut io::sink()).map_err(broken)?;
        let cutter = Cutter::new(grammar(&name, &passed.source.format)?, self.chunk_size, offset, first_line);
        let failed = |e: CutError| match e {
            CutError::Read(e) => explain(&name, packing, e),
            error => SourceError::Record { name: name.clone(), error },
        };
        match by_path {
            Some(path) => {
                let cuts = Offsets::new(&mut data, cutter).collect::<Result<Vec<Cut>, _>>().map_err(failed)?;
                self.sample_later(passed, Path::new(&path), &cuts).map_err(broken)?;
                passed.pieces = cuts
                    .iter()
                    .map(|cut| Piece {
                        bytes: cut.len,
                        first_line: cut.first_line,
                        groups: None,
                        place: PiecePlace::File { path: path.clone(), offset: cut.offset },
                    })
                    .collect();
            }
            None => {
                for (at, chunk) in Chunks::new(&mut data, cutter).enumerate() {
                    let chunk = chunk.map_err(failed)?;
                    if at > 0 {
                        self.join_sample(passed, chunk.bytes.get(..LATER).unwrap_or(&chunk.bytes))?;
                    }
                    let bytes = chunk.bytes.len() as u64;
                    passed.pieces.push(Piece {
                        bytes,
                        first_line: chunk.first_line,
                        groups: None,
                        place: PiecePlace::Upload(at),
                    });
                    passed.uploads.push(self.uploader()?.begin(Payload::Bytes(Bytes::from(chunk.bytes)))?);
                }
            }
        }
        let (size, checksum, comments) = data.finish().map_err(broken)?;
        if comments > 0 {
            let lines = if comments == 1 {
                "1 line is a comment and was"
            } else {
                &format!("{comments} lines are comments and were")
            };
            passed.source.notices.push(format!("{lines} left out"));
        }
        (passed.source.size, passed.source.checksum) = (size, checksum);
        Ok(())
    }

    /// Samples some records of later chunks, spread over the file.
    fn sample_later(&self, passed: &mut Passed, path: &Path, cuts: &[Cut]) -> io::Result<()> {
        let later = cuts.get(1..).unwrap_or_default();
        if later.is_empty() {
            return Ok(());
        }
        let mut file = File::open(path)?;
        let mut start = Vec::new();
        for cut in later.iter().rev().step_by(later.len().div_ceil(SAMPLES)) {
            file.seek(SeekFrom::Start(cut.offset))?;
            start.clear();
            file.by_ref().take(cut.len.min(LATER as u64)).read_to_end(&mut start)?;
            self.join_sample(passed, &start).map_err(|e| io::Error::other(e.to_string()))?;
        }
        Ok(())
    }

    fn join_sample(&self, passed: &mut Passed, start: &[u8]) -> Result<(), FlowError> {
        let mut seen = sample(&passed.source.name, &passed.source.format, &self.options.nulls, start, false)?;
        seen.fields.retain(|f| self.options.wanted.takes(&f.name));
        passed.schema = passed.schema.join(&seen);
        Ok(())
    }

    fn columnar(
        &self,
        passed: &mut Passed,
        place: Place,
        groups: &[u64],
        by_path: Option<String>,
    ) -> Result<(), FlowError> {
        let name = passed.source.name.clone();
        let broken = |error: io::Error| SourceError::Unreadable { name: name.clone(), error };
        let path = match &place {
            Place::File(path) => path.clone(),
            Place::Spooled { file, .. } => file.path().to_owned(),
        };
        let (size, checksum) = checksum_of(&path, self.pulse).map_err(broken)?;
        (passed.source.size, passed.source.checksum) = match &place {
            Place::File(_) => (size, checksum.clone()),
            Place::Spooled { size, checksum, .. } => (*size, checksum.clone()),
        };
        let ranges = ranges(groups, self.chunk_size);
        if by_path.is_none() && !ranges.is_empty() {
            passed.uploads.push(self.uploader()?.begin(Payload::File { path, size, checksum })?);
        }
        // One piece means the whole file, which needs no range.
        let whole = ranges.len() == 1;
        for (from, to, bytes) in ranges {
            let (bytes, groups) = if whole { (size, None) } else { (bytes, Some((from, to))) };
            let place = match &by_path {
                Some(path) => PiecePlace::File { path: path.clone(), offset: 0 },
                None => PiecePlace::Upload(0),
            };
            passed.pieces.push(Piece { bytes, first_line: 1, groups, place });
        }
        if let Place::Spooled { file, .. } = place {
            passed.keep = Some(file);
        }
        Ok(())
    }

    fn uploader(&self) -> Result<&Uploader, FlowError> {
        self.uploader.ok_or_else(|| FlowError::from(UploadError::Nowhere))
    }
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
