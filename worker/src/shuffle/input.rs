//! What a task reads of the shuffle: some partitions of what each task of a stage wrote. What lies on this machine is read from
//! its files; every other worker is asked once for all that it has, and sends it as it is wanted.

use std::sync::Arc;

use bytes::Bytes;
use shardmill_common::failure::Failure;
use shardmill_common::ids::{AttemptId, WorkerId};
use shardmill_common::task::TaskPlace;
use tokio::task::JoinHandle;

use super::{LocalFile, LocalPartitions, PartitionError, RemotePartitions, WINDOW};
use crate::fetch::{Fetcher, PeerError, PieceStream, Where};

/// Where pieces come from.
enum Source {
    Here(LocalPartitions),
    There {
        opening: Option<JoinHandle<Result<PieceStream, PeerError>>>,
        stream: Option<PieceStream>,
        pieces: RemotePartitions,
    },
    /// Nobody can be asked.
    Nowhere,
}

/// Partition after partition, in each the tasks in their order: a piece each. An error names the task whose output is to blame,
/// and is the end.
pub struct ShuffleInput {
    fetch: Arc<Fetcher>,
    places: Vec<(AttemptId, WorkerId, usize)>,
    sources: Vec<Source>,
    left: usize,
    turn: usize,
}

impl ShuffleInput {
    /// The partitions `from..to` of what these tasks wrote.
    pub fn open(fetch: &Arc<Fetcher>, places: &[&TaskPlace], from: u32, to: u32, known: &Where) -> Self {
        let mut workers: Vec<(WorkerId, Vec<AttemptId>)> = Vec::new();
        let mut numbered = Vec::with_capacity(places.len());
        for place in places {
            let number = workers.iter().position(|(worker, _)| *worker == place.worker).unwrap_or_else(|| {
                workers.push((place.worker, Vec::new()));
                workers.len() - 1
            });
            if let Some((_, attempts)) = workers.get_mut(number) {
                attempts.push(place.attempt);
            }
            numbered.push((place.attempt, place.worker, number));
        }
        let files: Vec<Option<Vec<LocalFile>>> =
            workers.iter().map(|(worker, attempts)| fetch.files_here(*worker, attempts, (from, to), known)).collect();
        // What is read ahead of all files together stays within the window.
        let window = WINDOW / files.iter().flatten().count().max(1) as u64;
        let source = |((worker, attempts), files): ((WorkerId, Vec<AttemptId>), Option<Vec<LocalFile>>)| {
            if let Some(files) = files {
                return Source::Here(LocalPartitions::new(files, to.saturating_sub(from), window));
            }
            match known.url(worker) {
                None => Source::Nowhere,
                Some(url) => Source::There {
                    opening: Some(fetch.open_partitions(url, attempts, from, to)),
                    stream: None,
                    pieces: RemotePartitions::default(),
                },
            }
        };
        let left = numbered.len() * to.saturating_sub(from) as usize;
        let sources = workers.into_iter().zip(files).map(source).collect();
        Self { fetch: fetch.clone(), places: numbered, sources, left, turn: 0 }
    }

    fn read(&mut self, source: usize) -> Result<Bytes, PartitionError> {
        match self.sources.get_mut(source) {
            None => Err(PartitionError::NotAsked),
            Some(Source::Nowhere) => Err(PartitionError::NoAddress),
            Some(Source::Here(files)) => files.next().unwrap_or(Err(PartitionError::EndsEarly)),
            Some(Source::There { opening, stream, pieces }) => loop {
                if let Some(piece) = pieces.take() {
                    return piece;
                }
                if let Some(opening) = opening.take() {
                    *stream = Some(self.fetch.wait(opening)?);
                }
                let Some(stream) = stream else { return Err(PartitionError::NotAsked) };
                match self.fetch.more(stream)? {
                    Some(data) => pieces.push(&data),
                    None => return Err(PartitionError::EndsEarly),
                }
            },
        }
    }
}

impl Iterator for ShuffleInput {
    type Item = Result<Bytes, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (attempt, worker, source) = *self.places.get(self.turn)?;
        self.turn = (self.turn + 1) % self.places.len();
        let blame = |why: PartitionError| Failure::FetchFailed { task: attempt.task, worker, message: why.to_string() };
        let read = self.read(source).map_err(blame);
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}
