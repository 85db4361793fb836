//! What is wrong with a file of rules, and with a rule for the columns that it meets.

use super::scalar::Scalar;
use crate::schema::DataType;
use crate::unfit::OwnUnfit;

/// A mistake in a file of rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFileError {
    #[error("{file}:{line}: {fault}")]
    At { file: String, line: u32, fault: FileFault },
    #[error("{file}: there are no rules; write each as a [[rule]] table")]
    NoRules { file: String },
}

/// What is wrong on a line. `hint` is ` (did you mean ...?)` or nothing, `allowed` a list of words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    #[error("not valid TOML: {0}")]
    NotToml(String),
    #[error("unknown key `{key}`{hint}; a rules file has only [[rule]] tables")]
    UnknownKey { key: String, hint: String },
    #[error("`rule` must be written as [[rule]] tables; this is {found}")]
    NotTables { found: String },
    #[error("`rule` must be written as [[rule]] tables; this has {found}")]
    NotATable { found: String },
    #[error("the rule has no `op`; an operation is one of: {allowed}")]
    NoOperation { allowed: String },
    #[error("`op` must be a string, not {found}; allowed: {allowed}")]
    OperationNotText { found: String, allowed: String },
    #[error("unknown operation `{name}`{hint}; allowed: {allowed}")]
    UnknownOperation { name: String, hint: String, allowed: String },
    #[error("unknown option `{name}` for `{op}`{hint}; allowed: {allowed}")]
    UnknownOption { name: String, op: String, hint: String, allowed: String },
    #[error("`{op}` needs {what}")]
    Missing { op: String, what: String },
    /// `what` begins with a verb.
    #[error("`{option}` of `{op}` {what}")]
    Option { option: String, op: String, what: String },
}

/// A rule that does not fit the columns, or the values, that it meets.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{file}:{line}: {op}: {fault}")]
pub struct RuleError {
    pub file: String,
    pub line: u32,
    pub op: &'static str,
    pub fault: RuleFault,
}

impl OwnUnfit for RuleError {}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleFault {
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error("column `{column}`: {why}")]
    Unsuited { column: String, why: Unsuited },
    #[error("two columns would be named `{0}`")]
    TwoColumns(String),
    #[error("no column would be left")]
    NoneLeft,
    /// What the engine found: an expression, a pattern or a zone that it cannot work with, a value that fails.
    #[error("{0}")]
    Engine(String),
}

impl From<&str> for RuleFault {
    fn from(what: &str) -> Self {
        RuleFault::Engine(what.to_owned())
    }
}

impl From<String> for RuleFault {
    fn from(what: String) -> Self {
        RuleFault::Engine(what)
    }
}

/// A column that is asked for and not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    #[error("there is no column `{name}`{hint}; {}", there_are(there))]
    NoColumn { name: String, hint: String, there: Vec<String> },
    #[error("no column matches `{pattern}`; {}", there_are(there))]
    NoMatch { pattern: String, there: Vec<String> },
}

fn there_are(names: &[String]) -> String {
    if names.is_empty() { "there are no columns".to_owned() } else { format!("the columns are {}", names.join(", ")) }
}

/// Why an operation does not apply to a column.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unsuited {
    #[error("its type is {dtype}; `{op}` works on {wanted}")]
    Type { dtype: DataType, op: &'static str, wanted: &'static str },
    #[error("{from} cannot be cast to {to}")]
    Cast { from: DataType, to: DataType },
    #[error(transparent)]
    Value(Box<ValueError>),
}

impl From<ValueError> for Unsuited {
    fn from(error: ValueError) -> Self {
        Unsuited::Value(Box::new(error))
    }
}

/// A value that a column of a type cannot hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{value} is {}, which a column of type {dtype} cannot hold", value.kind())]
pub struct ValueError {
    pub value: Scalar,
    pub dtype: DataType,
}
