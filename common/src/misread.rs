//! Text that is not what it should be: a number of bytes, an identity, a type.

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is {wanted}", text.escape_debug())]
pub struct Misread {
    pub text: String,
    /// What it is not, and how that is written: `not a job id: job ids look like j12`.
    wanted: &'static str,
}

impl Misread {
    /// `text` is `wanted`, which begins with "no" or "not".
    pub fn new(text: &str, wanted: &'static str) -> Self {
        Self { text: text.to_owned(), wanted }
    }
}

/// For types that are kept and sent as the text that people write: what `#[serde(try_from = "String", into = "String")]` asks for,
/// by their `FromStr` and `Display`.
macro_rules! kept_as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = <$type as std::str::FromStr>::Err;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}

pub(crate) use kept_as_text;
