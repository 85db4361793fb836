//! The files in which captured rows wait, found and kept in order.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use shardmill_common::layout::CaptureLayout;
use shardmill_common::name::DatasetName;
use shardmill_common::schema::Schema;
use uuid::Uuid;

/// A file is searched for the end of its last row in pieces of this size.
const PIECE: u64 = 64 << 10;

/// Makes what happened in a folder last.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A complete file, and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub id: Uuid,
    pub path: PathBuf,
    pub bytes: u64,
}

/// Completes a file whose rows are on disk.
pub fn seal(layout: &CaptureLayout, dataset: &DatasetName, id: Uuid) -> io::Result<()> {
    fs::rename(layout.part(dataset, id), layout.sealed(dataset, id))?;
    sync_folder(&layout.dataset(dataset))
}

pub fn write_schema(layout: &CaptureLayout, dataset: &DatasetName, id: Uuid, schema: &Schema) -> io::Result<()> {
    let text = serde_json::to_vec(schema).map_err(io::Error::other)?;
    fs::write(layout.schema(dataset, id), text)
}

/// The types that were known when the file was written; nothing if that is not to be read, since values have types too.
pub fn read_schema(layout: &CaptureLayout, dataset: &DatasetName, id: Uuid) -> Schema {
    let read = fs::read(layout.schema(dataset, id)).ok();
    read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Removes a file that is in its dataset.
pub fn remove(layout: &CaptureLayout, dataset: &DatasetName, file: &Sealed) -> io::Result<()> {
    fs::remove_file(&file.path)?;
    match fs::remove_file(layout.schema(dataset, file.id)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    sync_folder(&layout.dataset(dataset))
}

fn id_of(path: &Path, ending: &str) -> Option<Uuid> {
    let stem = path.file_name().and_then(OsStr::to_str)?.strip_suffix(ending)?;
    stem.parse().ok()
}

/// The files of one dataset with this ending, in the order of their making.
fn with_ending(layout: &CaptureLayout, dataset: &DatasetName, ending: &str) -> io::Result<Vec<Sealed>> {
    let entries = match fs::read_dir(layout.dataset(dataset)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(id) = id_of(&entry.path(), ending) {
            let meta = entry.metadata()?;
            found.push((meta.modified()?, Sealed { id, path: entry.path(), bytes: meta.len() }));
        }
    }
    found.sort_by_key(|(time, file)| (*time, file.id));
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

pub fn sealed(layout: &CaptureLayout, dataset: &DatasetName) -> io::Result<Vec<Sealed>> {
    with_ending(layout, dataset, ".jsonl")
}

/// The datasets that have a folder.
fn datasets(layout: &CaptureLayout) -> io::Result<Vec<DatasetName>> {
    let entries = match fs::read_dir(layout.root()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        if let Some(name) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
            found.push(name);
        }
    }
    Ok(found)
}

/// Completes the files that a process which is gone was writing, and tells the bytes that wait by dataset. `is_mine`: this
/// process writes that file.
pub fn recover(layout: &CaptureLayout, is_mine: impl Fn(Uuid) -> bool) -> io::Result<BTreeMap<DatasetName, u64>> {
    let mut waiting = BTreeMap::new();
    for dataset in datasets(layout)? {
        for part in with_ending(layout, &dataset, ".part")?.iter().filter(|p| !is_mine(p.id)) {
            cut_off_half_a_row(&part.path)?;
            seal(layout, &dataset, part.id)?;
        }
        let mut bytes = 0;
        for file in sealed(layout, &dataset)? {
            if file.bytes == 0 {
                remove(layout, &dataset, &file)?;
            }
            bytes += file.bytes;
        }
        if bytes > 0 {
            waiting.insert(dataset, bytes);
        }
    }
    Ok(waiting)
}

/// A process that was killed may have written a part of its last row.
fn cut_off_half_a_row(path: &Path) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(path)?;
    let mut end = file.metadata()?.len();
    let whole = loop {
        let begin = end.saturating_sub(PIECE);
        let mut piece = vec![0; (end - begin) as usize];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(&mut piece)?;
        match piece.iter().rposition(|b| *b == b'\n') {
            Some(at) => break begin + at as u64 + 1,
            None if begin == 0 => break 0,
            None => end = begin,
        }
    };
    file.set_len(whole)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_completed_without_its_last_half_row() {
        let folder = tempfile::tempdir().unwrap();
        let layout = CaptureLayout::new(folder.path());
        assert!(recover(&layout, |_| false).unwrap().is_empty());
        let name: DatasetName = "seen".parse().unwrap();
        fs::create_dir_all(layout.dataset(&name)).unwrap();
        let (torn, long, empty, mine) =
            (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3), Uuid::from_u128(4));
        fs::write(layout.part(&name, torn), "{\"a\":1}\n{\"a\":2}\n{\"a\":").unwrap();
        let row = format!("{{\"a\":\"{}\"}}\n", "x".repeat(PIECE as usize));
        fs::write(layout.part(&name, long), format!("{row}{}", &row[..row.len() - 1])).unwrap();
        fs::write(layout.part(&name, empty), "{\"a\"").unwrap();
        fs::write(layout.part(&name, mine), "{\"a\":1}\n{").unwrap();
        fs::write(layout.dataset(&name).join("notes.txt"), "not ours").unwrap();
        let waiting = recover(&layout, |id| id == mine).unwrap();
        assert_eq!(waiting.get(&name), Some(&(16 + row.len() as u64)));
        let found: BTreeMap<Uuid, u64> = sealed(&layout, &name).unwrap().into_iter().map(|f| (f.id, f.bytes)).collect();
        assert_eq!(found, [(torn, 16), (long, row.len() as u64)].into());
        assert!(layout.part(&name, mine).exists());
        // Once more changes nothing.
        assert_eq!(recover(&layout, |id| id == mine).unwrap(), waiting);
    }

    #[test]
    fn types_that_cannot_be_read_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let layout = CaptureLayout::new(folder.path());
        let name: DatasetName = "seen".parse().unwrap();
        let id = Uuid::from_u128(1);
        assert!(read_schema(&layout, &name, id).is_empty());
        fs::create_dir_all(layout.dataset(&name)).unwrap();
        fs::write(layout.schema(&name, id), "[{\"name\":").unwrap();
        assert!(read_schema(&layout, &name, id).is_empty());
    }
}
