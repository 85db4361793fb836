//! Model names and references: `churn` (the latest version), `churn@3`, `churn@champion` (an alias).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::misread::kept_as_text;
use crate::name::{DatasetName, Named, ReferenceError};

/// A model's name follows the rules of a dataset's; models and datasets are named apart.
pub type ModelName = DatasetName;

/// Which version of a model is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Latest,
    Version(u32),
    Alias(String),
}

/// A model version as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelRef {
    pub name: ModelName,
    pub which: Which,
}

impl ModelRef {
    pub fn version(name: ModelName, version: u32) -> Self {
        Self { name, which: Which::Version(version) }
    }
}

impl FromStr for ModelRef {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let Some((name, which)) = text.split_once('@') else {
            return Ok(ModelRef { name: ModelName::of(Named::Model, text)?, which: Which::Latest });
        };
        let which = match which.parse::<u32>() {
            Ok(0) => return Err(ReferenceError::Version { name: name.to_owned(), text: which.to_owned() }),
            Ok(version) => Which::Version(version),
            Err(_) => Which::Alias(alias(which)?),
        };
        Ok(ModelRef { name: ModelName::of(Named::Model, name)?, which })
    }
}

/// Checks an alias: it follows the rules of names and is not a number.
pub fn alias(text: &str) -> Result<String, ReferenceError> {
    if text.is_empty() || text.chars().all(|c| c.is_ascii_digit()) {
        return Err(ReferenceError::NeitherVersionNorAlias(text.to_owned()));
    }
    Ok(DatasetName::of(Named::Alias, text)?.into())
}

kept_as_text!(ModelRef);

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Latest => write!(f, "{}", self.name),
            Which::Version(v) => write!(f, "{}@{v}", self.name),
            Which::Alias(a) => write!(f, "{}@{a}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_aliases_are_told_apart() {
        let latest: ModelRef = "churn".parse().unwrap();
        assert_eq!(latest.which, Which::Latest);
        assert_eq!("churn@3".parse::<ModelRef>().unwrap().which, Which::Version(3));
        assert_eq!("churn@champion".parse::<ModelRef>().unwrap().which, Which::Alias("champion".into()));
        for bad in ["churn@", "churn@0", "a/b", "churn@a b", "@3", "churn@99999999999"] {
            assert!(bad.parse::<ModelRef>().is_err(), "{bad:?} was accepted");
        }
    }
}
