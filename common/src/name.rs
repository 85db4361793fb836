//! Dataset names and references (`name`, `name@3`), checked once, where they enter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::misread::kept_as_text;

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

/// What a name is the name of. All follow the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Dataset,
    Model,
    Alias,
    Endpoint,
    Variant,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Named::Dataset => "a dataset name",
            Named::Model => "a model name",
            Named::Alias => "an alias",
            Named::Endpoint => "an endpoint's name",
            Named::Variant => "a variant's name",
        })
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("it is empty")]
    Empty,
    #[error("it is too long")]
    TooLong,
    #[error("it contains `{}`", .0.escape_debug())]
    Character(char),
    #[error("it does not start with a letter or digit")]
    Start,
    #[error("a dot must stand between other characters")]
    Dot,
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not {named}: {fault} (use letters, digits, `_`, `-` and dots, at most {MAX_LEN} characters, starting with a letter or digit)",
    text.escape_debug().take(80).collect::<String>()
)]
pub struct NameError {
    pub text: String,
    pub named: Named,
    pub fault: NameFault,
}

impl DatasetName {
    /// Reads a name that is the name of something else.
    pub fn of(named: Named, text: &str) -> Result<Self, NameError> {
        match fault(text) {
            None => Ok(DatasetName(text.to_owned())),
            Some(fault) => Err(NameError { text: text.to_owned(), named, fault }),
        }
    }
}

fn fault(text: &str) -> Option<NameFault> {
    if text.is_empty() {
        return Some(NameFault::Empty);
    }
    if text.len() > MAX_LEN {
        return Some(NameFault::TooLong);
    }
    if let Some(c) = text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        return Some(NameFault::Character(c));
    }
    if !text.starts_with(char::is_alphanumeric) {
        return Some(NameFault::Start);
    }
    (text.contains("..") || text.ends_with('.')).then_some(NameFault::Dot)
}

impl FromStr for DatasetName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::of(Named::Dataset, text)
    }
}

impl TryFrom<String> for DatasetName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
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

/// Why a text names no version of a dataset or a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("`{}` is not a version: versions are whole numbers from 1, as in {name}@1", text.escape_debug())]
    Version { name: String, text: String },
    #[error("`{}` is neither a version (1, 2, ...) nor an alias (champion)", .0.escape_debug())]
    NeitherVersionNorAlias(String),
}

impl FromStr for DatasetRef {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let Some((name, version)) = text.split_once('@') else {
            return Ok(DatasetRef { name: text.parse()?, version: None });
        };
        let number = version.parse::<u32>().ok().filter(|v| *v > 0);
        let number =
            number.ok_or_else(|| ReferenceError::Version { name: name.to_owned(), text: version.to_owned() })?;
        Ok(DatasetRef { name: name.parse()?, version: Some(number) })
    }
}

kept_as_text!(DatasetRef);

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
