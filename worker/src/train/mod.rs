//! Training on this worker's shards: encoded features held in memory between rounds, and the sums of each round.

mod category;
mod clusters;
mod glm;
mod kernel;
mod links;
mod load;
mod math;
mod moments;
mod numbers;
pub mod rows;
mod session;

pub use category::{Distinct, MISSING};
pub use clusters::{centroids, seeds};
pub use glm::glm;
pub use load::{Recipe, load};
pub use moments::class_moments;
pub use numbers::{Numbers, gather, has_special};
pub use session::{Session, Sessions, Targets};
