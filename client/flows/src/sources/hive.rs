//! Columns that are only in the paths of files, as Hive and Spark lay out folders: `year=2024/city=New%20York/`.

use std::path::Path;

use shardmill_common::kinds::ingest::Constant;

use super::expand::{Found, Origin};

/// Reads `column=value` off the names of folders below `top`.
pub fn constants_below(top: &Path, found: &mut [Found]) {
    for one in found {
        let Origin::File(path) = &one.origin else { continue };
        let Some(below) = path.strip_prefix(top).ok().and_then(Path::parent) else { continue };
        one.constants = below.components().filter_map(|c| constant(&c.as_os_str().to_string_lossy())).collect();
    }
}

/// What Hive writes for null in a path.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

fn constant(folder: &str) -> Option<Constant> {
    let (column, value) = folder.split_once('=')?;
    let column = unescaped(column);
    if column.trim().is_empty() {
        return None;
    }
    let value = unescaped(value);
    Some(Constant { column, value: (value != HIVE_NULL && !value.is_empty()).then_some(value) })
}

/// `%20` and the like as what they stand for.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}
