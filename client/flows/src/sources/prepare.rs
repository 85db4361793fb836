//! All sources of an ingest: first looked into, then passed over, then put into one plan.

use std::collections::HashSet;

use shardmill_common::kinds::ingest::{Chunk, ChunkPlace, Source};
use shardmill_common::schema::Schema;

use super::check::{check, typed};
use super::chunk_size::chunk_size;
use super::error::{SourceError, TakeError, UploadError};
use super::expand::{Expanded, expand};
use super::inspect::{Body, Feed, Inspected, Place, inspect};
use super::kind::Packing;
use super::open::Pulse;
use super::options::ReadOptions;
use super::parallel::in_parallel;
use super::pass::{Pass, Passed, PiecePlace, checksum_of, readable_path};
use super::upload::Uploader;
use crate::error::FlowError;

/// What text is taken to grow to when it is unpacked, to choose the size of chunks.
const UNPACKED: u64 = 4;

/// Sources that were found, are readable, and belong together.
pub struct Looked {
    pub sources: Vec<Inspected>,
    /// Names that were given more than once, and are taken once.
    pub twice: Vec<String>,
    /// Files in folders that are no data by their names.
    pub passed_over: Vec<String>,
}

/// Finds the sources and looks into each. Every mistake of the user shows here, before anything is submitted.
pub fn look(arguments: &[String], options: &ReadOptions, pulse: &Pulse) -> Result<Looked, FlowError> {
    let Expanded { found, twice, passed_over } = expand(arguments, &options.pick)?;
    let sources = in_parallel(found, |_, f| inspect(f, options, pulse))?;
    check(&sources, options)?;
    Ok(Looked { sources, twice, passed_over })
}

/// Bytes that the pass will read, as far as they are known.
pub fn total_bytes(sources: &[Inspected]) -> u64 {
    sources.iter().map(|s| s.size).sum()
}

/// Sources, chunks and schema of the job.
pub struct Prepared {
    pub sources: Vec<Source>,
    pub chunks: Vec<Chunk>,
    pub schema: Schema,
    /// Sources that an earlier ingest took already.
    pub skipped: usize,
}

/// What the pass needs to know of the cluster and the wishes of the user.
pub struct Plan {
    pub options: ReadOptions,
    pub shard_size: Option<u64>,
    pub local_files: bool,
    pub uploader: Option<Uploader>,
    /// Checksums of sources to leave out.
    pub taken: HashSet<String>,
    pub pulse: Pulse,
}

impl Looked {
    /// Whether any bytes have to be uploaded.
    pub fn needs_upload(&self, local_files: bool) -> bool {
        self.sources.iter().any(|s| readable_path(s, local_files).is_none())
    }
}

/// Passes over every source. Blocks; uploads go on in the background.
pub fn pass(looked: Looked, plan: &Plan) -> Result<Vec<Passed>, FlowError> {
    let total =
        looked.sources.iter().map(|s| if s.packing == Packing::Plain { s.size } else { s.size * UNPACKED }).sum();
    let pass = Pass {
        chunk_size: chunk_size(plan.shard_size, total),
        options: &plan.options,
        local_files: plan.local_files,
        uploader: plan.uploader.as_ref(),
        pulse: &plan.pulse,
    };
    let passed =
        in_parallel(
            looked.sources,
            |_, source| {
                if is_taken(&source, plan)? { Ok(None) } else { pass.run(source).map(Some) }
            },
        )?;
    Ok(passed.into_iter().flatten().collect())
}

/// Whether a file that would be uploaded was taken before. It is read once more to tell, which is cheaper than to send it.
fn is_taken(source: &Inspected, plan: &Plan) -> Result<bool, FlowError> {
    if plan.taken.is_empty() || readable_path(source, plan.local_files).is_some() {
        return Ok(false);
    }
    let path = match &source.body {
        Body::Text { feed: Feed::File(path), .. } | Body::Columnar { place: Place::File(path), .. } => path,
        // What is in an archive or a workbook is told by what was read of it.
        Body::Text { feed: Feed::Member(_) | Feed::Sheet(_), .. } => return Ok(false),
        Body::Columnar { place: Place::Spooled { checksum, .. }, .. } => return Ok(plan.taken.contains(checksum)),
        Body::Text { feed: Feed::Once(_), .. } => return Ok(false),
    };
    // Its bytes are not counted as progress: the pass itself does that.
    let quiet = Pulse { stop: plan.pulse.stop.clone(), ..Pulse::default() };
    let (_, checksum) = checksum_of(path, &quiet).map_err(SourceError::unreadable(&source.name))?;
    Ok(plan.taken.contains(&checksum))
}

/// Waits for the uploads and puts everything together.
pub async fn assemble(passed: Vec<Passed>, plan: &Plan, found: usize) -> Result<Prepared, FlowError> {
    let mut prepared = Prepared { sources: Vec::new(), chunks: Vec::new(), schema: Schema::default(), skipped: 0 };
    for one in passed {
        let mut objects = Vec::with_capacity(one.uploads.len());
        for upload in one.uploads {
            objects.push(upload.await.map_err(UploadError::Thread)??);
        }
        if plan.taken.contains(&one.source.checksum) {
            continue;
        }
        let source = prepared.sources.len() as u32;
        for piece in one.pieces {
            let place = match piece.place {
                PiecePlace::File { path, offset } => ChunkPlace::File { path, offset },
                PiecePlace::Upload(at) => match objects.get(at) {
                    Some(object) => ChunkPlace::Object(object.clone()),
                    None => return Err(TakeError::NotUploaded { name: one.source.name }.into()),
                },
            };
            let (bytes, first_line, groups) = (piece.bytes, piece.first_line, piece.groups);
            prepared.chunks.push(Chunk { source, place, bytes, first_line, groups });
        }
        prepared.schema = prepared.schema.join(&one.schema);
        prepared.sources.push(one.source);
    }
    prepared.skipped = found - prepared.sources.len();
    if let Some(fixed) = &plan.options.schema {
        prepared.schema = fixed.clone();
    }
    typed(&mut prepared.schema, &plan.options.types);
    Ok(prepared)
}
