//! Model families: the options of a training and the parameters that it learns, a file each. How a family is trained is in the
//! coordinator's core, what it asks of a shard in the worker, how it predicts in `serving`, and how it is shown in the client.

mod kmeans;
mod linear;
mod logistic;
mod naive_bayes;
mod penalty;

pub use kmeans::{KMeansOptions, KMeansParameters};
pub use linear::{LinearOptions, LinearParameters};
pub use logistic::{ClassWeight, LogisticOptions, LogisticParameters, Solver};
pub use naive_bayes::{NaiveBayesOptions, NaiveBayesParameters};
pub use penalty::Penalty;

use serde::{Deserialize, Serialize};

use super::onnx::OnnxGraph;

macro_rules! families {
    ($($family:ident($options:ty, $parameters:ty) = $name:literal;)+) => {
        /// What a training learns with.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "algorithm", rename_all = "snake_case")]
        pub enum Algorithm {
            $($family($options),)+
        }

        impl Algorithm {
            /// The word of the command line and of the model's JSON.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Algorithm::$family(_) => $name,)+
                }
            }
        }

        /// What was learnt. Rows and columns follow the classes and `Encoder::outputs`; encoded features go in.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "form", rename_all = "snake_case")]
        pub enum Parameters {
            $($family($parameters),)+
            /// A graph of another program's making; its file is not in here.
            Onnx(OnnxGraph),
        }
    };
}

impl Parameters {
    /// The centres of clusters.
    pub fn centers(&self) -> Option<&[Vec<f64>]> {
        if let Parameters::KMeans(parameters) = self { Some(&parameters.centers) } else { None }
    }
}

families! {
    Logistic(LogisticOptions, LogisticParameters) = "logistic";
    Linear(LinearOptions, LinearParameters) = "linear";
    NaiveBayes(NaiveBayesOptions, NaiveBayesParameters) = "naive-bayes";
    KMeans(KMeansOptions, KMeansParameters) = "kmeans";
}
