//! From what the user typed to files: folders, globs, standard input.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};

use shardmill_common::kinds::ingest::Constant;

use super::archive::{self, Member};
use super::error::SourceError;
use super::hive::constants_below;
use super::workbook::{self, Pick, Sheet};

/// Where a source's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    /// A named pipe or a device: like standard input, it can be read once only.
    Pipe(PathBuf),
    Stdin,
    /// A file in a zip archive.
    Member(Member),
    /// A sheet of a workbook.
    Sheet(Sheet),
}

/// A source as the user wrote or matched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub origin: Origin,
    /// What the folders between the argument and the file say.
    pub constants: Vec<Constant>,
}

impl Found {
    pub const fn new(name: String, origin: Origin) -> Self {
        Self { name, origin, constants: Vec::new() }
    }
}

/// What arguments mean.
#[derive(Debug, Default)]
pub struct Expanded {
    pub found: Vec<Found>,
    /// Named twice; they are taken once.
    pub twice: Vec<String>,
    /// In folders, and no data by their names.
    pub passed_over: Vec<String>,
}

/// Every file that the arguments mean, in the order of the arguments, each file once; zip archives are the files in them, and
/// workbooks their sheets.
pub fn expand(arguments: &[String], pick: &Pick) -> Result<Expanded, SourceError> {
    let mut out = Expanded::default();
    for argument in arguments {
        expand_one(argument, &mut out)?;
    }
    let Expanded { mut found, passed_over, .. } = out;
    let mut seen = HashSet::new();
    let mut twice = Vec::new();
    found.retain(|f| {
        let key = match &f.origin {
            Origin::File(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
            Origin::Pipe(path) => path.clone(),
            Origin::Stdin => PathBuf::from("-"),
            Origin::Member(member) => member.archive.join(&f.name),
            Origin::Sheet(_) => PathBuf::from(&f.name),
        };
        let new = seen.insert(key);
        if !new {
            twice.push(f.name.clone());
        }
        new
    });
    let mut files = Vec::with_capacity(found.len());
    for f in found {
        match &f.origin {
            Origin::File(path) => {
                if let Some(sheets) = workbook::sheets(&f.name, path, pick)? {
                    files.extend(sheets);
                    continue;
                }
                let file = File::open(path).map_err(cannot_read(path))?;
                match archive::members(&f.name, path, file)? {
                    Some(members) => files.extend(members),
                    None => files.push(f),
                }
            }
            _ => files.push(f),
        }
    }
    Ok(Expanded { found: files, twice, passed_over })
}

/// Whether a file in a folder is there for other programs: what Spark, Hadoop and the like leave, checksums, notes for people.
pub fn is_no_data(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let other = [".crc", ".md", ".html", ".sha1", ".sha256", ".sha512", ".md5", ".asc", ".sig"];
    let notes = [
        "readme",
        "license",
        "licence",
        "notice",
        "changelog",
        "thumbs",
        "md5sums",
        "sha1sums",
        "sha256sums",
        "sha512sums",
        "checksums",
    ];
    name.starts_with('_') || other.iter().any(|end| lower.ends_with(end)) || notes.contains(&stem)
}

fn expand_one(argument: &str, out: &mut Expanded) -> Result<(), SourceError> {
    if argument == "-" {
        out.found.push(Found::new("-".to_owned(), Origin::Stdin));
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

fn matches(pattern: &str, out: &mut Expanded) -> Result<(), SourceError> {
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let paths = glob::glob_with(pattern, options)
        .map_err(|error| SourceError::Pattern { pattern: pattern.to_owned(), error })?;
    let before = out.found.len();
    let mut any = false;
    for path in paths {
        let path = path.map_err(|e| {
            let cannot = cannot_read(e.path());
            cannot(e.into())
        })?;
        let meta = std::fs::metadata(&path).map_err(cannot_read(&path))?;
        any = true;
        let first = out.found.len();
        if meta.is_dir() {
            walk(&path, &mut Vec::new(), out)?;
        } else {
            add(&path, &meta, out)?;
        }
        let fixed =
            Path::new(pattern).components().take_while(|c| !c.as_os_str().to_string_lossy().contains(['*', '?', '[']));
        constants_below(&fixed.collect::<PathBuf>(), out.found.get_mut(first..).unwrap_or_default());
    }
    match (any, out.found.len() > before) {
        (_, true) => Ok(()),
        (true, false) => Err(SourceError::OnlyFolders { pattern: pattern.to_owned() }),
        (false, false) => Err(SourceError::NoMatch { pattern: pattern.to_owned() }),
    }
}

fn add(path: &Path, meta: &Metadata, out: &mut Expanded) -> Result<(), SourceError> {
    let name = path.display().to_string();
    if meta.is_dir() {
        let before = out.found.len();
        walk(path, &mut Vec::new(), out)?;
        if out.found.len() == before {
            return Err(SourceError::NoFiles { name });
        }
        constants_below(path, out.found.get_mut(before..).unwrap_or_default());
        return Ok(());
    }
    let origin = if meta.is_file() { Origin::File(path.to_owned()) } else { Origin::Pipe(path.to_owned()) };
    out.found.push(Found::new(name, origin));
    Ok(())
}

/// Files below `folder`, sorted by path. `above` are the folders on the way here, so that a link back to one ends there.
fn walk(folder: &Path, above: &mut Vec<PathBuf>, out: &mut Expanded) -> Result<(), SourceError> {
    let real = folder.canonicalize().map_err(cannot_read(folder))?;
    if above.contains(&real) {
        return Ok(());
    }
    above.push(real);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot_read(folder))? {
        let entry = entry.map_err(cannot_read(folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if is_no_data(&name) {
            out.passed_over.push(entry.path().display().to_string());
            continue;
        }
        paths.push(entry.path());
    }
    paths.sort();
    for path in paths {
        let meta = std::fs::metadata(&path).map_err(cannot_read(&path))?;
        if meta.is_dir() {
            walk(&path, above, out)?;
        } else if meta.is_file() {
            let name = path.display().to_string();
            out.found.push(Found::new(name, Origin::File(path)));
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
        let Expanded { found, .. } = expand(&arguments, &Pick::default())?;
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

    #[test]
    fn folders_of_hive_are_columns_and_files_for_other_programs_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "in/year=2024/city=New%20York/a.csv",
            "in/year=2023/city=__HIVE_DEFAULT_PARTITION__/a.csv",
            "in/_SUCCESS",
            "in/README.md",
            "in/SHA256SUMS",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x\n1\n").unwrap();
        }
        for argument in ["in", "in/year=*", "in/*/*/a.csv"] {
            let Expanded { found, passed_over, .. } =
                expand(&[dir.path().join(argument).display().to_string()], &Pick::default()).unwrap();
            let constants =
                |f: &Found| f.constants.iter().map(|c| format!("{}={:?}", c.column, c.value)).collect::<Vec<_>>();
            assert_eq!(constants(&found[0]), ["year=Some(\"2023\")", "city=None"], "{argument}");
            assert_eq!(constants(&found[1]), ["year=Some(\"2024\")", "city=Some(\"New York\")"], "{argument}");
            assert_eq!(passed_over.len(), if argument == "in" { 3 } else { 0 });
        }
        let file = dir.path().join("in/year=2024/city=New%20York/a.csv").display().to_string();
        assert!(expand(&[file], &Pick::default()).unwrap().found[0].constants.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_above_ends_the_walk() {
        let dir = tree();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/loop")).unwrap();
        assert_eq!(names(&dir, &[""]).unwrap().len(), 4);
    }
}
