//! The nodes of trees, read from the lists of a file and checked, so that a walk from a root always ends at a leaf.

use std::collections::HashMap;

use super::attributes::Attributes;
use crate::model::onnx::OnnxError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Test {
    pub fn holds(self, x: f64, value: f64) -> bool {
        match self {
            Test::LessOrEqual => x <= value,
            Test::Less => x < value,
            Test::GreaterOrEqual => x >= value,
            Test::Greater => x > value,
            Test::Equal => x == value,
            Test::NotEqual => x != value,
        }
    }
}

/// Places are those of nodes, every one of which is there.
#[derive(Clone, Copy, Debug)]
pub enum Node {
    Branch {
        feature: u32,
        test: Test,
        value: f64,
        missing_holds: bool,
        holds: u32,
        fails: u32,
    },
    /// A part of the weights.
    Leaf {
        from: u32,
        to: u32,
    },
}

/// The weights of leaves.
pub struct Weights {
    /// Leaf by leaf: which sum it adds to, and what.
    pub all: Vec<(u32, f64)>,
    /// Of each node its part of `all`.
    pub of_leaf: Vec<(u32, u32)>,
}

/// Nodes that lead to each other.
pub struct Linked {
    pub nodes: Vec<Node>,
    /// The root of each tree.
    pub roots: Vec<u32>,
    /// Numbers that a row must have at least.
    pub features: usize,
}

/// The nodes as the file lists them.
pub struct Nodes<'a> {
    node: Attributes<'a>,
    /// The place of every node by its tree and number.
    places: HashMap<(i64, i64), usize>,
    trees: &'a [i64],
}

impl<'a> Nodes<'a> {
    pub fn read(node: Attributes<'a>) -> Result<Self, OnnxError> {
        let (trees, numbers) = (node.ints("nodes_treeids"), node.ints("nodes_nodeids"));
        let of_each =
            [numbers, node.ints("nodes_featureids"), node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids")];
        if trees.is_empty()
            || of_each.iter().any(|list| list.len() != trees.len())
            || u32::try_from(trees.len()).is_err()
        {
            return Err(node.fault("its lists of nodes are not of one length"));
        }
        let mut places = HashMap::with_capacity(trees.len());
        for (place, key) in trees.iter().copied().zip(numbers.iter().copied()).enumerate() {
            if places.insert(key, place).is_some() {
                return Err(node.fault(format!("node {} of tree {} is there twice", key.1, key.0)));
            }
        }
        Ok(Self { node, places, trees })
    }

    /// The weights of all leaves, leaf by leaf, and the part of each node.
    pub fn weights(&self, leaf: &str, sums: usize) -> Result<Weights, OnnxError> {
        let node = self.node;
        let list = |what: &str| node.ints(&format!("{leaf}_{what}"));
        let (trees, numbers, ids) = (list("treeids"), list("nodeids"), list("ids"));
        let weights = node.numbers(&format!("{leaf}_weights"))?;
        let same = [numbers.len(), ids.len(), weights.len()].iter().all(|n| *n == trees.len());
        if !same || u32::try_from(weights.len()).is_err() {
            return Err(node.fault("its lists of leaves are not of one length"));
        }
        let mut all = Vec::with_capacity(weights.len());
        for (((tree, number), id), weight) in trees.iter().zip(numbers).zip(ids).zip(weights) {
            let place = self.places.get(&(*tree, *number)).copied();
            let place = place.ok_or_else(|| node.fault(format!("there is no node {number} of tree {tree}")))?;
            let sum = u32::try_from(*id).ok().filter(|id| (*id as usize) < sums);
            let sum = sum.ok_or_else(|| node.fault(format!("a leaf adds to {id}, and there are {sums} sums")))?;
            all.push((place, sum, weight));
        }
        // Stable, so that a leaf's weights stay in the order of the file.
        all.sort_by_key(|(place, _, _)| *place);
        let mut of_leaf = Vec::with_capacity(self.trees.len());
        let mut at = 0;
        for place in 0..self.trees.len() {
            let to = at + all.get(at..).unwrap_or_default().iter().take_while(|(of, _, _)| *of == place).count();
            of_leaf.push((at as u32, to as u32));
            at = to;
        }
        Ok(Weights { all: all.into_iter().map(|(_, sum, weight)| (sum, weight)).collect(), of_leaf })
    }

    /// The nodes with places for numbers, the root of each tree, and how many features they look at. Every tree is one: each of
    /// its nodes but the root has one parent, so that a walk from the root ends.
    pub fn link(&self, of_leaf: &[(u32, u32)]) -> Result<Linked, OnnxError> {
        let node = self.node;
        let count = self.trees.len();
        let values = node.numbers("nodes_values")?;
        let missing = node.ints("nodes_missing_value_tracks_true");
        let modes = node.0.attribute.iter().find(|a| a.name == "nodes_modes").map(|a| a.strings.as_slice());
        let modes = modes.unwrap_or_default();
        if values.len() != count || modes.len() != count || !(missing.is_empty() || missing.len() == count) {
            return Err(node.fault("its lists of nodes are not of one length"));
        }
        let (yes, no) = (node.ints("nodes_truenodeids"), node.ints("nodes_falsenodeids"));
        let ids = node.ints("nodes_featureids");
        let mut has_parent = vec![false; count];
        let mut features = 0;
        let mut nodes = Vec::with_capacity(count);
        for place in 0..count {
            let Some(test) = test(&modes[place]).map_err(|e| node.fault(e.to_string()))? else {
                let (from, to) = of_leaf.get(place).copied().unwrap_or_default();
                nodes.push(Node::Leaf { from, to });
                continue;
            };
            let mut child = |number: i64| {
                let tree = self.trees[place];
                let child = self.places.get(&(tree, number)).copied();
                let child = child.ok_or_else(|| node.fault(format!("there is no node {number} of tree {tree}")))?;
                if std::mem::replace(&mut has_parent[child], true) {
                    return Err(node.fault(format!("node {number} of tree {tree} has two parents")));
                }
                Ok(child as u32)
            };
            let (holds, fails) = (child(yes[place])?, child(no[place])?);
            let feature = u32::try_from(ids[place]).ok().filter(|f| *f < 1 << 24);
            let feature = feature.ok_or_else(|| node.fault(format!("there is no feature {}", ids[place])))?;
            features = features.max(feature as usize + 1);
            let missing_holds = missing.get(place).is_some_and(|m| *m != 0);
            nodes.push(Node::Branch { feature, test, value: values[place], missing_holds, holds, fails });
        }
        let roots: Vec<u32> = (0..count).filter(|place| !has_parent[*place]).map(|place| place as u32).collect();
        let mut rooted: Vec<i64> = roots.iter().map(|root| self.trees[*root as usize]).collect();
        let of_trees = rooted.len();
        rooted.sort_unstable();
        rooted.dedup();
        let mut trees = self.trees.to_vec();
        trees.sort_unstable();
        trees.dedup();
        if rooted.len() != of_trees || rooted != trees {
            return Err(node.fault("a tree has no root, or several"));
        }
        if reached(&nodes, &roots) != count {
            return Err(node.fault("a tree has nodes that lead back to themselves"));
        }
        Ok(Linked { nodes, roots, features })
    }
}

/// How many nodes a walk from the roots comes to; no node has two parents, and no root has one.
fn reached(nodes: &[Node], roots: &[u32]) -> usize {
    let mut open = roots.to_vec();
    let mut seen = 0;
    while let Some(place) = open.pop() {
        seen += 1;
        if let Some(Node::Branch { holds, fails, .. }) = nodes.get(place as usize) {
            open.extend([*holds, *fails]);
        }
    }
    seen
}

/// How nodes test that we do not know of.
#[derive(Debug, thiserror::Error)]
#[error("the node mode {} is not supported", .0.escape_debug())]
struct UnknownMode(String);

/// `None` of a leaf.
fn test(mode: &[u8]) -> Result<Option<Test>, UnknownMode> {
    Ok(Some(match mode {
        b"LEAF" => return Ok(None),
        b"BRANCH_LEQ" => Test::LessOrEqual,
        b"BRANCH_LT" => Test::Less,
        b"BRANCH_GTE" => Test::GreaterOrEqual,
        b"BRANCH_GT" => Test::Greater,
        b"BRANCH_EQ" => Test::Equal,
        b"BRANCH_NEQ" => Test::NotEqual,
        other => return Err(UnknownMode(String::from_utf8_lossy(other).into_owned())),
    }))
}
