//! Graphs that were made ready, once for all tasks and endpoints of a process.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use shardmill_common::model::OnnxGraph;

use super::graph::Graph;
use crate::model::onnx::OnnxError;

/// Graphs that are kept.
const KEPT: usize = 16;
/// Bytes of files whose graphs are kept, together.
const KEPT_BYTES: u64 = 512 << 20;

/// Gets the file of a graph, or says why it cannot be had.
type Read = Box<dyn Fn(&OnnxGraph) -> Result<Bytes, OnnxError> + Send + Sync>;

/// The graphs of a process. A file may be imported twice in different ways, so all that is known of it tells graphs apart.
pub struct Graphs {
    read: Read,
    /// The one used last in front.
    kept: Mutex<Vec<(OnnxGraph, Arc<Graph>)>>,
    /// One graph is made ready at a time, so that tasks that begin together wait for the first.
    making: Mutex<()>,
}

impl Default for Graphs {
    /// No graphs: nobody imports models here.
    fn default() -> Self {
        Self::new(|_| Err("nobody imports models here"))
    }
}

impl Graphs {
    /// With files that `read` gets.
    pub fn new<E: Display>(read: impl Fn(&OnnxGraph) -> Result<Bytes, E> + Send + Sync + 'static) -> Self {
        let read = move |wanted: &OnnxGraph| {
            read(wanted).map_err(|why| OnnxError::File { file: wanted.file.clone(), why: why.to_string() })
        };
        Self { read: Box::new(read), kept: Mutex::default(), making: Mutex::default() }
    }

    fn known(&self, wanted: &OnnxGraph) -> Option<Arc<Graph>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, _)| known == wanted)?;
        let found = kept.remove(place);
        let graph = found.1.clone();
        kept.insert(0, found);
        Some(graph)
    }

    /// The graph, made ready from its file if it is not here.
    pub fn get(&self, wanted: &OnnxGraph) -> Result<Arc<Graph>, OnnxError> {
        if let Some(graph) = self.known(wanted) {
            return Ok(graph);
        }
        let _alone = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = self.known(wanted) {
            return Ok(graph);
        }
        let bytes = (self.read)(wanted)?;
        let digest = super::digest(&bytes);
        if digest != wanted.digest {
            let (file, wanted) = (wanted.file.clone(), wanted.digest.clone());
            return Err(OnnxError::Checksum { file, found: digest, wanted });
        }
        let graph = Arc::new(Graph::prepare(&bytes, wanted)?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(0, (wanted.clone(), graph.clone()));
        kept.truncate(KEPT);
        let mut sum = 0;
        kept.retain(|(known, _)| {
            sum += known.bytes;
            sum <= KEPT_BYTES || known == wanted
        });
        Ok(graph)
    }
}
