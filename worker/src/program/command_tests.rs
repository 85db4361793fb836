//! Commands that are found, and those that are not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use shardmill_common::failure::Failure;
use shardmill_common::ids::ObjectId;
use shardmill_common::kinds::mapreduce::step::{Format, ShippedFile};
use shardmill_common::manifest::ObjectRef;

use super::command::{check, find};
use super::testing::program;

fn shipped(name: &str, executable: bool) -> ShippedFile {
    let object = ObjectRef { id: ObjectId::fresh(), bytes: 0, checksum: String::new() };
    ShippedFile { name: name.into(), object, executable }
}

fn put(path: &Path, text: &str, mode: u32) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_owned()
}

fn refused(command: &str, files: &[ShippedFile]) -> String {
    match check(&program(Format::Tsv, command), files).unwrap_err() {
        Failure::BadInput { message } => message,
        other => panic!("{other}"),
    }
}

#[test]
fn what_cannot_be_run_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let files = [shipped("map.py", false), shipped("run", true)];
    assert!(refused("", &files).contains("empty"));
    assert!(refused("''", &files).contains("empty"));
    assert!(refused("python3 'x", &files).contains("quote"));
    let error = refused("no-such-program x", &files);
    assert!(error.contains("`no-such-program` was not found") && error.contains("--file"), "{error}");
    assert!(refused("./other.py", &files).contains("none of the files that came along"));
    assert!(refused("sub/map.py", &files).contains("none of the files that came along"));
    assert!(refused("./map.py", &files).contains("python3 ./map.py"));
    assert!(refused("map.py", &files).contains("not executable"));
    assert!(refused("/usr", &files).contains("is a folder"));
    assert!(refused("/no/such/file", &files).contains("no such file"));
    let plain = put(&folder.path().join("plain"), "x", 0o644);
    assert!(refused(plain.to_str().unwrap(), &files).contains("not executable"));
    let script = put(&folder.path().join("script"), "#!/no/such/python -u\n", 0o755);
    let error = refused(script.to_str().unwrap(), &files);
    assert!(error.contains("asks for the interpreter `/no/such/python`, which is not there"), "{error}");
    let script = put(&folder.path().join("windows"), "#!/bin/sh\r\n", 0o755);
    assert!(refused(script.to_str().unwrap(), &files).contains("CR LF"));
    let script = put(&folder.path().join("by-env"), "#!/usr/bin/env -S A=1 no-such-thing x\n", 0o755);
    assert!(refused(script.to_str().unwrap(), &files).contains("`no-such-thing`"));
    for command in ["cat", "run", "./run", "/bin/sh -c 'exit 0'"] {
        check(&program(Format::Tsv, command), &files).unwrap();
    }
}

#[test]
fn a_program_may_read_what_it_was_installed_with_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let home = root.join("home");
    fs::create_dir(&home).unwrap();
    // A virtual environment whose interpreter is a link to a link.
    let real = put(&root.join("versions/3.11/bin/python3.11"), "x", 0o755);
    fs::create_dir_all(root.join("venv/bin")).unwrap();
    symlink("python3.11", root.join("versions/3.11/bin/python3")).unwrap();
    symlink(root.join("versions/3.11/bin/python3"), root.join("venv/bin/python")).unwrap();
    let command = format!("{} x.py", root.join("venv/bin/python").display());
    let found = find(&program(Format::Tsv, &command), &[], &home).unwrap();
    for path in ["venv", "versions/3.11"] {
        assert!(found.roots.contains(&root.join(path)), "{path}: {:?}", found.roots);
    }
    assert!(found.roots.contains(&real));
    assert!(!found.roots.iter().any(|r| root.starts_with(r) || *r == root.join("versions")), "{:?}", found.roots);
    // What a shell is told to run counts too, and a script's interpreter, but no file that is only named.
    let tool = put(&root.join("tools/tool"), &format!("#!{}\n", root.join("venv/bin/python").display()), 0o755);
    put(&root.join("secret/key"), "x", 0o600);
    let command = format!("sh -c 'cat {}; exec {} x'", root.join("secret/key").display(), tool.display());
    let found = find(&program(Format::Tsv, &command), &[], &home).unwrap();
    assert!(found.roots.contains(&tool) && found.roots.contains(&root.join("versions/3.11")), "{:?}", found.roots);
    assert!(!found.roots.iter().any(|r| r.ends_with("secret") || r.ends_with("key") || r.ends_with("tools")));
    // A program that came along lies in its own folder, which is open to it anyway.
    put(&home.join("run"), "#!/bin/sh\n", 0o755);
    let found = find(&program(Format::Tsv, "./run a"), &[shipped("run", true)], &home).unwrap();
    assert_eq!((found.program, found.words), (home.join("run"), vec!["./run".to_owned(), "a".to_owned()]));
    assert!(!found.roots.iter().any(|r| r.starts_with(&home)), "{:?}", found.roots);
}
