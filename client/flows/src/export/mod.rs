//! Writing rows in the formats other programs read, to files that appear whole or not at all.

mod cells;
mod csv;
mod encoder;
mod error;
mod json;
mod lines;
mod stream;
mod target;
mod xlsx;

pub use cells::Cells;
pub use encoder::{Format, Settings};
pub use error::{TargetError, WriteError};
pub use stream::Compression;
pub use target::{Exported, Step, Target, write_all};
pub(crate) use target::{beside, folder_of, sync_folder_of};
