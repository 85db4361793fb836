//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: forests and boosted trees. A row's leaves are added up tree by tree in the
//! precision of the row, as onnxruntime does for many rows.

use super::attributes::{Attributes, PostTransform, logistic};
use super::forest::{Linked, Node, Nodes, Weights};
use super::operator::RowOperator;
use crate::model::onnx::OnnxError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

#[derive(Debug)]
pub struct Trees {
    nodes: Vec<Node>,
    roots: Vec<u32>,
    /// Of the leaves: which sum they add to, and what.
    weights: Vec<(u32, f64)>,
    /// Numbers that a row must have at least.
    features: usize,
    sums: usize,
    base: Vec<f64>,
    aggregate: Aggregate,
    post: PostTransform,
    /// One sum speaks for two classes; with only positive weights it is a probability, otherwise above 0 for the second.
    two_of_one: Option<bool>,
    takes_missing: bool,
}

impl Trees {
    pub fn classifier(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let ints = node.ints("classlabels_int64s").len();
        let classes = if ints > 0 { ints } else { node.texts("classlabels_strings").len() };
        let mut trees = Self::read(node, "class", classes, Aggregate::Sum)?;
        let ids = node.ints("class_ids");
        if classes <= 2 && ids.iter().all(|id| Some(id) == ids.first()) {
            if trees.base.len() > 1 || trees.post == PostTransform::Softmax {
                return Err(node.fault("its leaves say something of one class only, and that of two is asked for"));
            }
            trees.weights.iter_mut().for_each(|(sum, _)| *sum = 0);
            trees.two_of_one = Some(trees.weights.iter().all(|(_, w)| *w >= 0.0));
            trees.sums = 1;
        } else if !trees.base.is_empty() && trees.base.len() != classes {
            return Err(node.fault(format!("it has {} base values for {classes} classes", trees.base.len())));
        }
        Ok(trees)
    }

    pub fn regressor(node: Attributes<'_>) -> Result<Self, OnnxError> {
        let targets = usize::try_from(node.int("n_targets").unwrap_or(1)).unwrap_or(0);
        let aggregate = match node.text("aggregate_function").as_deref() {
            None | Some("SUM") => Aggregate::Sum,
            Some("AVERAGE") => Aggregate::Average,
            Some("MIN") => Aggregate::Min,
            Some("MAX") => Aggregate::Max,
            Some(other) => {
                return Err(node.fault(format!("the aggregate_function {} is not supported", other.escape_debug())));
            }
        };
        let trees = Self::read(node, "target", targets, aggregate)?;
        if !trees.base.is_empty() && trees.base.len() != targets {
            return Err(node.fault(format!("it has {} base values for {targets} targets", trees.base.len())));
        }
        Ok(trees)
    }

    fn read(node: Attributes<'_>, leaf: &str, sums: usize, aggregate: Aggregate) -> Result<Self, OnnxError> {
        let nodes = Nodes::read(node)?;
        let Weights { all: weights, of_leaf } = nodes.weights(leaf, sums)?;
        let Linked { nodes, roots, features } = nodes.link(&of_leaf)?;
        Ok(Self {
            nodes,
            roots,
            weights,
            features,
            sums,
            base: node.numbers("base_values")?,
            aggregate,
            post: node.post_transform()?,
            two_of_one: None,
            takes_missing: node.ints("nodes_missing_value_tracks_true").iter().any(|m| *m != 0),
        })
    }

    /// The weights of the leaf that a row comes to.
    fn leaf(&self, root: u32, x: &[f64]) -> &[(u32, f64)] {
        let mut place = root as usize;
        loop {
            match self.nodes.get(place) {
                Some(Node::Branch { feature, test, value, missing_holds, holds, fails }) => {
                    let x = x.get(*feature as usize).copied().unwrap_or(f64::NAN);
                    let yes = if x.is_nan() { *missing_holds } else { test.holds(x, *value) };
                    place = if yes { *holds } else { *fails } as usize;
                }
                Some(Node::Leaf { from, to }) => return self.weights.get(*from as usize..*to as usize).unwrap_or(&[]),
                None => return &[],
            }
        }
    }
}

impl RowOperator for Trees {
    fn outputs(&self, width: usize) -> Result<usize, OnnxError> {
        if width < self.features {
            let what = format!("the trees look at {} numbers, and are given {width}", self.features);
            return Err(OnnxError::Width(what));
        }
        Ok(if self.two_of_one.is_some() { 2 } else { self.sums })
    }

    fn row(&self, x: &[f64], single: bool, out: &mut [f32]) {
        // Adding float32 numbers in float64 and rounding is adding them in float32.
        let rounded = |x: f64| if single { f64::from(x as f32) } else { x };
        let mut found: Vec<Option<f64>> = vec![None; self.sums];
        for root in &self.roots {
            for (sum, weight) in self.leaf(*root, x) {
                let Some(slot) = found.get_mut(*sum as usize) else { continue };
                *slot = Some(match (*slot, self.aggregate) {
                    (None, _) => *weight,
                    (Some(sum), Aggregate::Sum | Aggregate::Average) => rounded(sum + weight),
                    (Some(sum), Aggregate::Min) => sum.min(*weight),
                    (Some(sum), Aggregate::Max) => sum.max(*weight),
                });
            }
        }
        let finished = |(n, sum): (usize, Option<f64>)| {
            let sum = sum.unwrap_or(0.0);
            let sum = if self.aggregate == Aggregate::Average { rounded(sum / self.roots.len() as f64) } else { sum };
            self.base.get(n).map_or(sum, |base| rounded(sum + base))
        };
        let mut scores: Vec<f64> = found.into_iter().enumerate().map(finished).collect();
        match (self.two_of_one, scores.first().copied(), self.post) {
            (Some(_), Some(z), PostTransform::Logistic) => scores = vec![logistic(-z), logistic(z)],
            (Some(true), Some(p), _) => scores = vec![rounded(1.0 - p), p],
            (Some(false), Some(z), _) => scores = vec![-z, z],
            _ => self.post.apply(&mut scores),
        }
        out.iter_mut().zip(scores).for_each(|(slot, x)| *slot = x as f32);
    }

    fn takes_missing(&self) -> bool {
        self.takes_missing
    }
}
