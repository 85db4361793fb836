//! Dataset names and references (`name`, `name@3`), checked once, where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const MAX_LEN: usize = 200;

/// A dataset's name: letters, digits, `_`, `-` and single dots; never a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetName(String);

impl DatasetName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The dataset that keeps the rows which could not be read or were rejected on the way to this one.
    pub fn rejects(&self) -> DatasetName {
        DatasetName(format!("{}.rejects", self.0))
    }
}

impl FromStr for DatasetName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.escape_debug().take(80).collect();
        let bad = |why: &str| {
            Err(format!(
                "`{shown}` is not a dataset name: {why} (use letters, digits, `_`, `-` and dots, at most {MAX_LEN} characters, starting with a letter or digit)"
            ))
        };
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > MAX_LEN {
            return bad("it is too long");
        }
        if let Some(c) = text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
            return bad(&format!("it contains `{}`", c.escape_debug()));
        }
        if !text.starts_with(char::is_alphanumeric) {
            return bad("it does not start with a letter or digit");
        }
        if text.contains("..") || text.ends_with('.') {
            return bad("a dot must stand between other characters");
        }
        Ok(DatasetName(text.to_owned()))
    }
}

impl TryFrom<String> for DatasetName {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> String {
        name.0
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A dataset as a person names it: without a version, the latest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatasetRef {
    pub name: DatasetName,
    pub version: Option<u32>,
}

impl FromStr for DatasetRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            None => Ok(DatasetRef { name: text.parse()?, version: None }),
            Some((name, version)) => {
                let number = version.parse::<u32>().ok().filter(|v| *v > 0).ok_or_else(|| {
                    format!(
                        "`{}` is not a version: versions are whole numbers from 1, as in {name}@1",
                        version.escape_debug()
                    )
                })?;
                Ok(DatasetRef { name: name.parse()?, version: Some(number) })
            }
        }
    }
}

impl TryFrom<String> for DatasetRef {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DatasetRef> for String {
    fn from(r: DatasetRef) -> String {
        r.to_string()
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            None => write!(f, "{}", self.name),
            Some(v) => write!(f, "{}@{v}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_control_characters_are_refused() {
        for bad in [
            "", "a/b", "..", "a..b", "../x", "a\0b", "a\nb", ".hidden", "-x", "a b", "a\\b", "x@", "x@0", "x@-1",
            "x@1x", "a.",
        ] {
            assert!(bad.parse::<DatasetRef>().is_err(), "{bad:?} was accepted");
        }
        assert!("x".repeat(4096).parse::<DatasetName>().is_err());
    }

    #[test]
    fn plain_names_and_versions_are_read() {
        let r: DatasetRef = "orders.2024-clean_1@12".parse().unwrap();
        assert_eq!(r.name.as_str(), "orders.2024-clean_1");
        assert_eq!(r.version, Some(12));
        assert_eq!(r.to_string(), "orders.2024-clean_1@12");
        assert_eq!("größe".parse::<DatasetRef>().unwrap().version, None);
    }
}
