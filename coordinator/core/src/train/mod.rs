//! The numerics of training: pure, serialisable optimisers that take a round's sums and say what the next round asks.

mod baseline;
mod bayes;
mod encode;
mod glm;
mod kmeans;
mod lbfgs;
mod newton;
mod owlqn;
mod pairs;
mod problem;
mod profile;
mod prox;
mod random;
mod seeding;
mod space;
#[cfg(test)]
pub mod testing;

pub use baseline::{Profiled, baseline};
pub use bayes::{Bayes, naive_bayes};
pub use encode::{Asked, Built, build, constant_number};
pub use glm::{Fitted, Glm, Method, NEWTON_PARAMETERS, Outcome, Separated, add_up};
pub use kmeans::{Clustered, KMeans};
#[cfg(test)]
pub use problem::soft;
pub use problem::{Prior, Problem};
pub use profile::{Labels, Whole, merge};
pub use shardmill_algebra::triangle;
pub use space::{Space, conditioning, scalings};
