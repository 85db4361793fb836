//! Why a job cannot run on its inputs, as far as it shows before it runs.

use std::error::Error;
use std::fmt;

use crate::schema::{DataType, Schema};

/// What a column is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Key,
    SortKey,
    GroupKey,
    Feature,
    Kept,
    /// A label, weights, or what is computed with.
    Value,
}

/// Why a job makes no sense on its inputs: what any kind of job may find, or what a kind has of its own.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("{kind} takes {wanted} inputs, and there are {found}")]
    Inputs { kind: &'static str, wanted: usize, found: usize },
    #[error("the model was not looked up")]
    ModelMissing,
    #[error("{} has no column `{column}`{}; {listed}", of, purpose(*role))]
    NoColumn { of: String, column: String, role: Role, listed: String },
    #[error("{} is named twice", shown(*role, column))]
    Twice { column: String, role: Role },
    #[error("no {} is named", if *.0 == Role::SortKey { "column to sort by" } else { "key column" })]
    NoneNamed(Role),
    #[error(
        "two columns of the result would be named `{column}`: choose other --suffixes (they are `{left}` and `{right}`)"
    )]
    Suffixes { column: String, left: String, right: String },
    #[error("{}", key_types(left, right))]
    KeyTypes { left: TypedColumn, right: TypedColumn },
    #[error(transparent)]
    Own(Box<dyn Error + Send + Sync>),
}

/// A column of a dataset, and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedColumn {
    pub of: String,
    pub column: String,
    pub dtype: DataType,
}

impl Unfit {
    /// `of` has no such column.
    pub fn no_column(of: impl fmt::Display, schema: &Schema, column: &str, role: Role) -> Self {
        Unfit::NoColumn { of: of.to_string(), column: column.to_owned(), role, listed: schema.listed() }
    }
}

/// An error that one kind of job has.
pub trait OwnUnfit: Error + Send + Sync + 'static {}

impl<E: OwnUnfit> From<E> for Unfit {
    fn from(own: E) -> Self {
        Unfit::Own(Box::new(own))
    }
}

const fn purpose(role: Role) -> &'static str {
    match role {
        Role::GroupKey => " to group by",
        Role::Kept => " to keep",
        Role::Key | Role::SortKey | Role::Feature | Role::Value => "",
    }
}

fn shown(role: Role, column: &str) -> String {
    match role {
        Role::Key => format!("the key column `{column}`"),
        Role::SortKey => format!("the column `{column}` to sort by"),
        Role::GroupKey => format!("the column `{column}` to group by"),
        Role::Feature => format!("the feature `{column}`"),
        Role::Kept => format!("the column `{column}` to keep"),
        Role::Value => format!("the column `{column}`"),
    }
}

fn key_types(left: &TypedColumn, right: &TypedColumn) -> String {
    const CAST: &str = "cast one of them first (shardmill clean, rule `cast`)";
    let (l, r) = (left.dtype, right.dtype);
    if left.column == right.column {
        format!("the key column `{}` is {l} in {} and {r} in {}: {CAST}", left.column, left.of, right.of)
    } else {
        let (a, b) = (&left.column, &right.column);
        format!("the key column `{a}` of {} is {l} and `{b}` of {} is {r}: {CAST}", left.of, right.of)
    }
}
