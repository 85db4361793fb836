//! From what the user typed to files: folders, globs, standard input.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use super::error::SourceError;

/// Where a source's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// A named pipe or a device: like standard input, it can be read once only.
    Pipe(PathBuf),
    Stdin,
}

/// A source as the user wrote or matched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub origin: Origin,
}

/// Every file that the arguments mean, in the order of the arguments, each file once. What was named twice comes second.
pub fn expand(arguments: &[String]) -> Result<(Vec<Found>, Vec<String>), SourceError> {
    let mut found = Vec::new();
    for argument in arguments {
        expand_one(argument, &mut found)?;
    }
    let mut seen = HashSet::new();
    let mut twice = Vec::new();
    found.retain(|f| {
        let key = match &f.origin {
            Origin::File(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
            Origin::Pipe(path) => path.clone(),
            Origin::Stdin => PathBuf::from("-"),
        };
        let new = seen.insert(key);
        if !new {
            twice.push(f.name.clone());
        }
        new
    });
    for f in &found {
        if let Origin::File(path) = &f.origin {
            File::open(path).map_err(cannot_read(path))?;
        }
    }
    Ok((found, twice))
}

fn expand_one(argument: &str, out: &mut Vec<Found>) -> Result<(), SourceError> {
    if argument == "-" {
        out.push(Found { name: "-".to_owned(), origin: Origin::Stdin });
        return Ok(());
    }
    let path = Path::new(argument);
    match std::fs::metadata(path) {
        // A name that exists is that file, even if it has characters of a pattern in it.
        Ok(meta) => add(path, &meta, out),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && argument.contains(['*', '?', '[']) => {
            matches(argument, out)
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(SourceError::Absent { name: argument.to_owned() }),
        Err(e) => Err(cannot_read(path)(e)),
    }
}

fn matches(pattern: &str, out: &mut Vec<Found>) -> Result<(), SourceError> {
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let paths = glob::glob_with(pattern, options)
        .map_err(|error| SourceError::Pattern { pattern: pattern.to_owned(), error })?;
    let before = out.len();
    let mut any = false;
    for path in paths {
        let path = path.map_err(|e| {
            let cannot = cannot_read(e.path());
            cannot(e.into())
        })?;
        let meta = std::fs::metadata(&path).map_err(cannot_read(&path))?;
        any = true;
        if meta.is_dir() {
            walk(&path, &mut Vec::new(), out)?;
        } else {
            add(&path, &meta, out)?;
        }
    }
    match (any, out.len() > before) {
        (_, true) => Ok(()),
        (true, false) => Err(SourceError::OnlyFolders { pattern: pattern.to_owned() }),
        (false, false) => Err(SourceError::NoMatch { pattern: pattern.to_owned() }),
    }
}

fn add(path: &Path, meta: &Metadata, out: &mut Vec<Found>) -> Result<(), SourceError> {
    let name = path.display().to_string();
    if meta.is_dir() {
        let before = out.len();
        walk(path, &mut Vec::new(), out)?;
        if out.len() == before {
            return Err(SourceError::NoFiles { name });
        }
        return Ok(());
    }
    let origin = if meta.is_file() { Origin::File(path.to_owned()) } else { Origin::Pipe(path.to_owned()) };
    out.push(Found { name, origin });
    Ok(())
}

/// Files below `folder`, sorted by path. `above` are the folders on the way here, so that a link back to one ends there.
fn walk(folder: &Path, above: &mut Vec<PathBuf>, out: &mut Vec<Found>) -> Result<(), SourceError> {
    let real = folder.canonicalize().map_err(cannot_read(folder))?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot_read(folder))? {
        let entry = entry.map_err(cannot_read(folder))?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    for path in paths {
        let meta = std::fs::metadata(&path).map_err(cannot_read(&path))?;
        if meta.is_dir() {
            walk(&path, above, out)?;
        } else if meta.is_file() {
            out.push(Found { name: path.display().to_string(), origin: Origin::File(path) });
        }
    }
    above.pop();
    Ok(())
}

fn cannot_read(path: &Path) -> impl FnOnce(std::io::Error) -> SourceError + use<> {
    SourceError::unreadable(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b.csv", "a.csv", "sub/deep/c.csv", "sub/.hidden.csv", ".git/x.csv", "odd[1].csv"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x\n1\n").unwrap();
        }
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        dir
    }

    fn names(dir: &tempfile::TempDir, arguments: &[&str]) -> Result<Vec<String>, SourceError> {
        let root = dir.path().display().to_string();
        let arguments: Vec<String> =
            arguments.iter().map(|a| if *a == "-" { "-".into() } else { format!("{root}/{a}") }).collect();
        let (found, _) = expand(&arguments)?;
        Ok(found.into_iter().map(|f| f.name.replace(&format!("{root}/"), "")).collect())
    }

    #[test]
    fn folders_are_walked_in_order_without_hidden_files() {
        let dir = tree();
        assert_eq!(names(&dir, &[""]).unwrap(), ["a.csv", "b.csv", "odd[1].csv", "sub/deep/c.csv"]);
        assert_eq!(names(&dir, &["b.csv", "a.csv", "-"]).unwrap(), ["b.csv", "a.csv", "-"]);
    }

    #[test]
    fn patterns_match_and_existing_names_win() {
        let dir = tree();
        assert_eq!(names(&dir, &["?.csv"]).unwrap(), ["a.csv", "b.csv"]);
        assert_eq!(names(&dir, &["**/c.csv"]).unwrap(), ["sub/deep/c.csv"]);
        assert_eq!(names(&dir, &["odd[1].csv"]).unwrap(), ["odd[1].csv"]);
        assert_eq!(names(&dir, &["a.csv", "*.csv"]).unwrap(), ["a.csv", "b.csv", "odd[1].csv"]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let dir = tree();
        for (argument, part) in
            [("nope.csv", "no file or folder"), ("*.parquet", "no file matches"), ("empty", "has no files")]
        {
            let error = names(&dir, &[argument]).unwrap_err();
            assert!(error.to_string().contains(part) && error.to_string().contains(argument), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_walk() {
        let dir = tree();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
        assert_eq!(names(&dir, &[""]).unwrap().len(), 4);
    }
}
