//! From the words of a command to the file to run and the folders it needs to read.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use shardmill_common::failure::Failure;
use shardmill_common::kinds::mapreduce::step::{Program, ShippedFile};

/// Links that lead on to links are followed so far.
const LINKS: usize = 40;
/// Interpreters of interpreters.
const INTERPRETERS: usize = 4;
/// Folders of programs: what belongs to them lies beside, not below.
const PROGRAM_FOLDERS: [&str; 5] = ["bin", "sbin", "libexec", "shims", "scripts"];
/// Never opened as a whole.
const COMMON_FOLDERS: [&str; 9] = ["/", "/home", "/root", "/tmp", "/var", "/var/tmp", "/mnt", "/srv", "/dev"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that can be run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub words: Vec<String>,
    pub program: PathBuf,
    /// Files and folders it needs besides the system's own.
    pub roots: Vec<PathBuf>,
}

/// The folders in which programs are looked for: the worker's own.
pub(super) fn search_path() -> String {
    std::env::var("PATH").ok().filter(|p| !p.is_empty()).unwrap_or_else(|| DEFAULT_PATH.to_owned())
}

pub(super) fn words(program: &Program) -> Result<Vec<String>, Failure> {
    match shlex::split(&program.command) {
        None => Err(Failure::bad_input(format!("the command `{}` has a quote without its end", program.command))),
        Some(words) if words.first().is_none_or(String::is_empty) => {
            Err(Failure::bad_input("the command of a program is empty"))
        }
        Some(words) => Ok(words),
    }
}

/// Where the first word of a command leads.
enum First<'a> {
    Shipped(&'a ShippedFile),
    Installed(PathBuf),
}

fn first<'a>(word: &str, files: &'a [ShippedFile], search: &str) -> Result<First<'a>, Failure> {
    let inside = if word.starts_with('/') { None } else { Some(word.strip_prefix("./").unwrap_or(word)) };
    if let Some(file) = inside.and_then(|name| files.iter().find(|f| f.name == name)) {
        if !file.executable {
            return Err(Failure::bad_input(format!(
                "the file `{word}` came along but is not executable: let its interpreter run it (such as `python3 {word}`), or `chmod +x` it and give it a first line such as #!/usr/bin/env python3",
            )));
        }
        return Ok(First::Shipped(file));
    }
    let missing = |why: &str| Failure::bad_input(format!("the program `{word}` was not found: {why}"));
    if word.starts_with('/') {
        let path = PathBuf::from(word);
        return match fs::metadata(&path) {
            Err(_) => Err(missing("there is no such file on the worker")),
            Ok(found) if found.is_dir() => Err(Failure::bad_input(format!("`{word}` is a folder, not a program"))),
            Ok(_) if !is_executable(&path) => {
                Err(Failure::bad_input(format!("the program `{word}` is not executable")))
            }
            Ok(_) => Ok(First::Installed(path)),
        };
    }
    if word.contains('/') {
        return Err(missing("it is none of the files that came along (--file)"));
    }
    installed(word, search).map(First::Installed).ok_or_else(|| {
        missing(&format!(
            "it is neither among the files that came along (--file) nor installed on the worker (in {search})"
        ))
    })
}

fn installed(name: &str, search: &str) -> Option<PathBuf> {
    let folders = search.split(':').filter(|f| f.starts_with('/'));
    folders.map(|f| Path::new(f).join(name)).find(|p| p.is_file() && is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Whether the command can be found at all, before anything is laid out.
pub(super) fn check(program: &Program, files: &[ShippedFile]) -> Result<(), Failure> {
    let words = words(program)?;
    let Some(word) = words.first() else { return Ok(()) };
    match first(word, files, &search_path())? {
        First::Shipped(_) => Ok(()),
        First::Installed(path) => interpreters(&path, &search_path()).map(drop),
    }
}

/// Finds the program of a command whose files lie in `home`.
pub(super) fn find(program: &Program, files: &[ShippedFile], home: &Path) -> Result<Found, Failure> {
    let (words, search) = (words(program)?, search_path());
    let word = words.first().map_or("", String::as_str);
    let path = match first(word, files, &search)? {
        First::Shipped(file) => home.join(&file.name),
        First::Installed(path) => path,
    };
    let mut roots = BTreeSet::new();
    for file in interpreters(&path, &search)?.into_iter().chain([path.clone()]).filter(|f| !f.starts_with(home)) {
        add_roots(&file, true, &mut roots);
    }
    // Programs that a shell or `env` is told to run.
    for part in words.iter().skip(1).flat_map(|w| w.split(|c: char| c.is_whitespace() || ";|&()<>`'\"$".contains(c))) {
        let file = if part.starts_with('/') { Some(PathBuf::from(part)) } else { installed(part, &search) };
        if let Some(file) = file.filter(|f| !part.is_empty() && is_executable(f)) {
            for file in interpreters(&file, &search).unwrap_or_default().into_iter().chain([file]) {
                add_roots(&file, false, &mut roots);
            }
        }
    }
    Ok(Found { words, program: path, roots: roots.into_iter().collect() })
}

/// The interpreters that a script's first line asks for, each of which may be a script.
fn interpreters(script: &Path, search: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut at = script.to_owned();
    for _ in 0..INTERPRETERS {
        let Some(line) = first_line(&at) else { break };
        let bad = |name: &str| {
            let hint = if name.ends_with('\r') {
                " (its lines end in CR LF, which the system takes as part of the name)"
            } else {
                ""
            };
            Failure::bad_input(format!(
                "`{}` cannot be run: its first line asks for the interpreter `{}`, which is not there{hint}",
                script.file_name().unwrap_or_default().to_string_lossy(),
                name.trim_end_matches('\r'),
            ))
        };
        let mut parts = line.trim_end_matches('\n').split([' ', '\t']).filter(|p| !p.is_empty());
        let Some(name) = parts.next() else { break };
        let interpreter = PathBuf::from(name);
        if !is_executable(&interpreter) {
            return Err(bad(name));
        }
        let is_env = interpreter.file_name().is_some_and(|n| n == "env");
        found.push(interpreter.clone());
        at = interpreter;
        if is_env && let Some(wanted) = parts.find(|p| !p.starts_with('-') && !p.contains('=')) {
            let wanted_path =
                if wanted.starts_with('/') { Some(PathBuf::from(wanted)) } else { installed(wanted, search) };
            at = wanted_path.filter(|p| is_executable(p)).ok_or_else(|| bad(wanted))?;
            found.push(at.clone());
        }
    }
    Ok(found)
}

/// What follows `#!`, if a file starts so.
fn first_line(path: &Path) -> Option<String> {
    let mut head = Vec::new();
    fs::File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|b| *b == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim_start().to_owned())
}

/// What a program needs to read: itself and, for every link on the way to it, the folder it was installed into.
/// `beside`: also what lies beside a program that is in no folder of programs.
fn add_roots(program: &Path, beside: bool, roots: &mut BTreeSet<PathBuf>) {
    let mut at = program.to_owned();
    for _ in 0..LINKS {
        roots.insert(at.clone());
        if let Some(folder) = at.parent().and_then(|f| f.canonicalize().ok()) {
            add_folder(&folder, beside, roots);
        }
        match fs::read_link(&at) {
            Ok(next) => at = at.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => break,
        }
    }
}

fn add_folder(folder: &Path, beside: bool, roots: &mut BTreeSet<PathBuf>) {
    let of_programs = folder.file_name().is_some_and(|n| PROGRAM_FOLDERS.iter().any(|p| n == *p));
    let prefix = folder.parent().filter(|_| of_programs);
    match prefix {
        // What people install for themselves lies beside what they keep to themselves.
        Some(prefix) if prefix.file_name().is_some_and(|n| n == ".local") => {
            roots.extend(["bin", "lib", "lib64"].map(|part| prefix.join(part)));
        }
        Some(prefix) if !is_common(prefix) => {
            roots.insert(prefix.to_owned());
        }
        Some(_) => {
            roots.insert(folder.to_owned());
        }
        None if beside && !is_common(folder) => {
            roots.insert(folder.to_owned());
        }
        None => {}
    }
}

/// Whether a folder holds more than one program's files: a home, or what homes are in.
fn is_common(folder: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|h| h.is_absolute());
    COMMON_FOLDERS.iter().any(|c| folder == Path::new(c))
        || home.is_some_and(|h| h.starts_with(folder))
        || (folder.starts_with("/home")
            && folder.components().filter(|c| matches!(c, Component::Normal(_))).count() <= 2)
}

/// What a program must not see, wherever it lies: secrets of the user who runs the worker.
pub(super) fn secrets() -> Vec<PathBuf> {
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from) else { return Vec::new() };
    [".ssh", ".aws", ".gnupg", ".netrc", ".config", ".cargo/credentials.toml", ".cargo/credentials", ".docker", ".kube"]
        .iter()
        .map(|secret| home.join(secret))
        .collect()
}
