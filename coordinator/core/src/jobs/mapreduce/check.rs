//! What of a user's job can be refused without an engine. The statements themselves are checked by a worker, in the first stage.

use std::collections::BTreeSet;

use shardmill_common::kinds::mapreduce::{MapReduceSpec, MapReduceUnfit, common_keys};

use crate::jobs::plan::ResolvedJob;

pub fn check(spec: &MapReduceSpec, job: &ResolvedJob) -> Result<(), MapReduceUnfit> {
    spec.check_parts()?;
    let plain = spec.inputs.iter().zip(&job.inputs).filter(|(input, _)| input.map.is_none());
    let plain: Vec<_> = plain.map(|(input, manifest)| (input.name.as_str(), &manifest.schema)).collect();
    common_keys(&spec.keys, &plain)?;
    if !spec.runs_programs() && !spec.work.files.is_empty() {
        return Err(MapReduceUnfit::FilesWithoutProgram);
    }
    let mut files = BTreeSet::new();
    for file in &spec.work.files {
        if file.name.is_empty() || file.name.contains(['/', '\0']) || matches!(file.name.as_str(), "." | "..") {
            return Err(MapReduceUnfit::FileName(file.name.clone()));
        }
        if !files.insert(&file.name) {
            return Err(MapReduceUnfit::TwoFiles(file.name.clone()));
        }
    }
    Ok(())
}
