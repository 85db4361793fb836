//! Why a line of JSON makes no row. Its text is the `reason` in datasets of rejects.

use shardmill_common::text::JsonFault;

#[derive(Debug, thiserror::Error)]
pub(super) enum LineFault {
    #[error("not valid UTF-8")]
    NotUtf8,
    #[error(transparent)]
    Json(#[from] JsonFault),
    #[error("not valid JSON: the key `{key}` has half a surrogate pair")]
    KeySurrogate { key: String },
    #[error("not valid JSON: the value of `{key}` has half a surrogate pair")]
    ValueSurrogate { key: String },
    #[error("the key `{key}` is not a column of the schema")]
    NotAColumn { key: String },
    #[error("the key `{key}` appears twice")]
    Twice { key: String },
    #[error("the key `{key}` holds a list or an object, by which rows cannot be grouped")]
    NestedKey { key: String },
}
