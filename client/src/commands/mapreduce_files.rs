//! Files that go along with a job's programs: read here, stored on workers, and laid into every program's folder.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use shardmill_common::kinds::mapreduce::step::ShippedFile;
use shardmill_common::units::show_bytes;

use crate::error::CliError;
use shardmill_flows::Session;
use shardmill_flows::sources::{Payload, Uploader};

/// No file is larger: each task lays out a copy of its own.
const LARGEST: u64 = 256 << 20;

/// A file that can go along.
struct Found {
    name: String,
    path: PathBuf,
    executable: bool,
}

/// Stores the files on as many workers as copies are wanted of anything.
pub async fn ship(session: &Session, paths: &[PathBuf]) -> Result<Vec<ShippedFile>, CliError> {
    // All are looked at before any is sent.
    let found = look(paths)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let uploader = Uploader::new(&session.client, None).await?;
    let mut uploads = Vec::with_capacity(found.len());
    for file in found {
        let data = tokio::fs::read(&file.path).await.map_err(|e| unreadable(&file.path, &e))?;
        if data.len() as u64 > LARGEST {
            return Err(too_large(&file.path, data.len() as u64));
        }
        let uploader = uploader.clone();
        // Waits while several are under way.
        let begun = tokio::task::spawn_blocking(move || uploader.begin(Payload::Bytes(data.into()))).await;
        uploads.push((file, begun.map_err(|e| stopped(&e))??));
    }
    let mut shipped = Vec::with_capacity(uploads.len());
    for (file, upload) in uploads {
        let object = upload.await.map_err(|e| stopped(&e))??;
        shipped.push(ShippedFile { name: file.name, object, executable: file.executable });
    }
    Ok(shipped)
}

/// Refuses what cannot go along; of several files of one name, a program would see only one.
fn look(paths: &[PathBuf]) -> Result<Vec<Found>, CliError> {
    let mut found: Vec<Found> = Vec::with_capacity(paths.len());
    for path in paths {
        let shown = path.display();
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if !metadata.is_file() {
            return Err(CliError::usage(format!(
                "--file {shown}: that is not a file; name each file of a folder, or send an archive and let the program unpack it"
            )));
        }
        if metadata.len() > LARGEST {
            return Err(too_large(path, metadata.len()));
        }
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(CliError::usage(format!("--file {shown}: its name is not valid UTF-8")));
        };
        if let Some(other) = found.iter().find(|f| f.name == name) {
            return Err(CliError::usage(format!(
                "--file {shown} and --file {} have the same name, under which a program finds them: rename one",
                other.path.display()
            )));
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        found.push(Found { name: name.to_owned(), path: path.clone(), executable });
    }
    Ok(found)
}

fn unreadable(path: &Path, e: &std::io::Error) -> CliError {
    CliError::usage(format!("--file {}: cannot be read: {e}", path.display()))
}

fn too_large(path: &Path, bytes: u64) -> CliError {
    CliError::usage(format!(
        "--file {}: it has {}, more than the {} that may go along; make a dataset of what is data",
        path.display(),
        show_bytes(bytes),
        show_bytes(LARGEST)
    ))
}

fn stopped(e: &tokio::task::JoinError) -> CliError {
    CliError::failed(format!("uploading a file was stopped: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_go_along_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("sub")).unwrap();
        for name in ["map.py", "run.sh", "sub/map.py"] {
            std::fs::write(path(name), "x").unwrap();
        }
        std::fs::set_permissions(path("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = look(&[path("map.py"), path("run.sh")]).unwrap();
        let names: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.executable)).collect();
        assert_eq!(names, [("map.py", false), ("run.sh", true)]);
        std::fs::File::create(path("big")).unwrap().set_len(LARGEST + 1).unwrap();
        let refused = |paths: &[PathBuf]| look(paths).map(|_| ()).unwrap_err();
        for (paths, why) in [
            (vec![path("none")], "cannot be read"),
            (vec![path("sub")], "not a file"),
            (vec![path("map.py"), path("sub/map.py")], "same name"),
            (vec![path("big")], "256"),
        ] {
            let error = refused(&paths);
            assert_eq!(error.exit_status(), 2);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
