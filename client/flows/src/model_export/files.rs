//! Files of a model: written beside their place under a name of their own, synced, then renamed into it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::export::{TargetError, WriteError, beside, folder_of, sync_folder_of};

/// What an export writes: one file, or the files of a folder by name.
pub enum FileTree {
    One(Vec<u8>),
    Folder(Vec<(&'static str, Vec<u8>)>),
}

/// Refuses what must not be overwritten, before anything is asked of the cluster.
pub fn check(to: &Path, folder: bool, force: bool) -> Result<(), TargetError> {
    let shown = || to.to_owned();
    let above = folder_of(to);
    if !above.is_dir() {
        return Err(TargetError::NoFolder(above));
    }
    let Ok(found) = std::fs::symlink_metadata(to) else { return Ok(()) };
    if folder && !found.is_dir() {
        return Err(TargetError::NotAFolder(shown()));
    }
    if !folder && to.is_dir() {
        return Err(TargetError::IsAFolder(shown()));
    }
    if folder && is_empty(to) {
        return Ok(());
    }
    if folder && force && !to.join(MARK).is_file() {
        return Err(TargetError::OtherFolder { folder: shown(), mark: MARK });
    }
    if force { Ok(()) } else { Err(TargetError::Exists(shown())) }
}

/// A folder that may be replaced has this file.
const MARK: &str = "MLmodel";

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// A name beside `place`, removed unless it is renamed.
struct Pending {
    temporary: PathBuf,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name.
        let _ = remove(&self.temporary);
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

impl FileTree {
    pub fn bytes(&self) -> u64 {
        match self {
            FileTree::One(bytes) => bytes.len() as u64,
            FileTree::Folder(files) => files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        }
    }

    pub fn files(&self) -> u64 {
        match self {
            FileTree::One(_) => 1,
            FileTree::Folder(files) => files.len() as u64,
        }
    }

    /// Writes everything and then gives it its name.
    pub fn write(&self, to: &Path) -> Result<(), WriteError> {
        let pending = Pending { temporary: beside(to, "tmp") };
        let cannot = WriteError::cannot("write", to);
        match self {
            FileTree::One(bytes) => write_file(&pending.temporary, bytes).map_err(&cannot)?,
            FileTree::Folder(files) => {
                std::fs::create_dir(&pending.temporary).map_err(&cannot)?;
                for (file, bytes) in files {
                    write_file(&pending.temporary.join(file), bytes).map_err(&cannot)?;
                }
            }
        }
        if matches!(self, FileTree::Folder(_)) && to.is_dir() {
            // A folder cannot be renamed over another one: the old one steps aside for a moment.
            let old = Pending { temporary: beside(to, "old") };
            std::fs::rename(to, &old.temporary).map_err(&cannot)?;
            if let Err(e) = std::fs::rename(&pending.temporary, to) {
                let _ = std::fs::rename(&old.temporary, to);
                return Err(cannot(e));
            }
        } else {
            std::fs::rename(&pending.temporary, to).map_err(&cannot)?;
        }
        sync_folder_of(to);
        Ok(())
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_without_leave() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.onnx");
        check(&file, false, false).unwrap();
        FileTree::One(b"one".to_vec()).write(&file).unwrap();
        assert!(check(&file, false, false).is_err());
        check(&file, false, true).unwrap();
        assert!(check(&file, true, true).is_err());
        assert!(check(&folder.path().join("no/m.onnx"), false, true).is_err());
        FileTree::One(b"two".to_vec()).write(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_replaced_only_if_it_is_a_model() {
        let above = tempfile::tempdir().unwrap();
        let place = above.path().join("model");
        let tree = FileTree::Folder(vec![("MLmodel", b"x".to_vec()), ("model.onnx", b"y".to_vec())]);
        tree.write(&place).unwrap();
        assert!(check(&place, true, false).is_err());
        check(&place, true, true).unwrap();
        tree.write(&place).unwrap();
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 1);
        let other = above.path().join("other");
        std::fs::create_dir(&other).unwrap();
        check(&other, true, false).unwrap();
        std::fs::write(other.join("thesis.tex"), "").unwrap();
        assert!(check(&other, true, true).is_err());
    }
}
