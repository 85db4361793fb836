//! A program's private folder: the files that came with the job, and room for what it makes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::ShippedFile;

use crate::store::read_checked;
use crate::tasks::Context;

/// Files that came from other machines are kept for the job's next tasks, and go when none asked for so long.
const KEPT: Duration = Duration::from_secs(3600);

/// Makes the folder `home` and lays the files into it: copies, since the program may change them.
pub(super) fn lay_out(context: &Context, files: &[ShippedFile], home: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| context.fetch.store.incoming_failure(&e);
    fs::create_dir(home).and_then(|()| fs::set_permissions(home, Permissions::from_mode(0o700))).map_err(failed)?;
    for file in files {
        context.check()?;
        let path = home.join(plain_name(&file.name)?);
        let data = fetch(context, file)?;
        fs::write(&path, &data).map_err(failed)?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failed)?;
    }
    Ok(())
}

/// The name of a file that stays in its folder.
fn plain_name(name: &str) -> Result<&str, Failure> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(only)), None) if only == name && !name.contains('\0') => Ok(name),
        _ => Err(Failure::bad_input(format!(
            "`{name}` cannot be a file in a program's folder: it must be a plain file name"
        ))),
    }
}

/// A file's bytes: from this worker's store or the cache beside it, else from the worker that has them.
fn fetch(context: &Context, file: &ShippedFile) -> Result<Bytes, Failure> {
    let store = &context.fetch.store;
    if let Ok(data) = store.read(&file.object) {
        return Ok(data);
    }
    let cache = store.layout.tmp().join("job-files");
    let cached = cache.join(file.object.id.to_string());
    if let Ok(data) = read_checked(&cached, &file.object) {
        touch(&cached);
        return Ok(data);
    }
    let data = context.fetch.object(&file.object, &context.place)?;
    // A cache that cannot be written costs time, nothing else.
    if let Err(e) = keep(&cache, &cached, &data) {
        tracing::debug!("a file that came with the job is not kept: {e}");
    }
    Ok(data)
}

fn keep(cache: &Path, path: &PathBuf, data: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(cache)?;
    forget_old(cache);
    let mut partial = tempfile::NamedTempFile::new_in(cache)?;
    std::io::Write::write_all(&mut partial, data)?;
    partial.persist(path).map(drop).map_err(|e| e.error)
}

fn touch(path: &Path) {
    if let Ok(file) = fs::File::options().append(true).open(path) {
        drop(file.set_modified(SystemTime::now()));
    }
}

fn forget_old(cache: &Path) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_some_and(|age| age > KEPT) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_folder() {
        for name in ["map.py", "a b", "..x", "ünï"] {
            assert_eq!(plain_name(name).unwrap(), name);
        }
        for name in ["", ".", "..", "/etc/passwd", "a/b", "../x", "a\0b"] {
            assert!(plain_name(name).unwrap_err().to_string().contains("plain file name"), "{name}");
        }
    }
}
