//! The user's own MapReduce job, and its tasks: check, map, combine, reduce, conform.

pub mod step;

use serde::{Deserialize, Serialize};

use self::step::{Step, Work};
use super::sort::SortKey;
use super::{Kind, writes};
use crate::kinds::dedup::HashColumn;
use crate::manifest::ObjectRef;
use crate::name::{DatasetName, DatasetRef};
use crate::phase::phases;
use crate::schema::{DataType, Schema};
use crate::shared::Shared;
use crate::task::{Reporting, Task};
use crate::unfit::OwnUnfit;

phases! {
    pub enum MapReducePhase {
        Check = "check",
        Map = "map",
        Combine = "combine",
        Reduce = "reduce",
        Conform = "conform",
    }
}
use crate::task::{ShardInput, TaskRange};

/// One dataset that is mapped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapInput {
    /// The table that a reduce sees its rows as.
    pub name: String,
    pub dataset: DatasetRef,
    /// `None`: its rows as they are.
    pub map: Option<Step>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapReduceSpec {
    pub output: DatasetName,
    pub inputs: Vec<MapInput>,
    /// Columns of every map's rows. Empty: one global group.
    pub keys: Vec<String>,
    /// The order of a key's rows as a reduce program sees them.
    #[serde(default)]
    pub then_by: Vec<SortKey>,
    /// Runs over the rows of a map before the shuffle, and over its own results.
    pub combine: Option<String>,
    /// `None`: the maps' rows in the datasets' order.
    pub reduce: Option<Step>,
    /// A map without a reduce may look at all rows of a shard together: an answer a shard is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub per_shard: bool,
    #[serde(default)]
    pub work: Work,
    pub replicas: Option<u32>,
}

impl MapReduceSpec {
    /// Every step, with what to call it in messages.
    pub fn steps(&self) -> impl Iterator<Item = (String, &Step)> {
        let maps = self.inputs.iter().filter_map(|i| Some((format!("the map of {}", i.name), i.map.as_ref()?)));
        maps.chain(self.reduce.iter().map(|step| ("the reduce".to_owned(), step)))
    }

    pub fn runs_programs(&self) -> bool {
        self.steps().any(|(_, step)| step.is_program())
    }

    /// Whether its parts fit together, as far as that can be told without its inputs.
    pub fn check_parts(&self) -> Result<(), MapReduceUnfit> {
        if self.inputs.is_empty() {
            return Err(MapReduceUnfit::NoInput);
        }
        for (n, input) in self.inputs.iter().enumerate() {
            check_table_name(&input.name)?;
            if self.inputs[..n].iter().any(|before| before.name == input.name) {
                return Err(MapReduceUnfit::TwoOfName(input.name.clone()));
            }
        }
        self.check_columns()?;
        let Some(reduce) = &self.reduce else { return self.check_map_only() };
        if self.per_shard {
            return Err(MapReduceUnfit::PerShardWithReduce);
        }
        if self.combine.is_some() && self.inputs.len() > 1 {
            return Err(MapReduceUnfit::CombinerOfSeveral);
        }
        if !self.then_by.is_empty() && !reduce.is_program() {
            return Err(MapReduceUnfit::OrderOfStatement);
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), MapReduceUnfit> {
        let ordered =
            self.keys.iter().map(|k| ("--key", k)).chain(self.then_by.iter().map(|k| ("--then-by", &k.column)));
        let mut seen: Vec<&str> = Vec::new();
        for (option, name) in ordered {
            if name.is_empty() {
                return Err(MapReduceUnfit::EmptyName { option });
            }
            if seen.contains(&name.as_str()) {
                return Err(MapReduceUnfit::Twice { of: option.to_owned(), column: name.clone() });
            }
            seen.push(name);
        }
        let programs = self.steps().filter_map(|(what, step)| match step {
            Step::Program(program) => Some((what, program.columns.as_ref()?)),
            Step::Sql(_) => None,
        });
        for (what, columns) in programs {
            for (n, field) in columns.fields.iter().enumerate() {
                if columns.fields[..n].iter().any(|f| f.name == field.name) {
                    return Err(MapReduceUnfit::Twice { of: what, column: field.name.clone() });
                }
            }
        }
        Ok(())
    }

    fn check_map_only(&self) -> Result<(), MapReduceUnfit> {
        if self.inputs.len() > 1 {
            return Err(MapReduceUnfit::SeveralToMap);
        }
        if !self.keys.is_empty() || self.combine.is_some() || !self.then_by.is_empty() {
            return Err(MapReduceUnfit::NoReduce);
        }
        if self.inputs.iter().all(|input| input.map.is_none()) {
            return Err(MapReduceUnfit::NothingToDo);
        }
        Ok(())
    }
}

/// What is wrong with users' own maps and reduces alone.
#[derive(Debug, thiserror::Error)]
pub enum MapReduceUnfit {
    #[error("there is no input; name one with --input")]
    NoInput,
    #[error("two inputs have the name `{0}`; name them with --input NAME=DATASET")]
    TwoOfName(String),
    #[error("`{}` cannot name a table: use letters, digits and `_`, as in --input NAME=DATASET", .0.escape_debug())]
    TableName(String),
    #[error("a combiner runs over the rows of one input, and there are several; combine in their maps")]
    CombinerOfSeveral,
    #[error("--then-by orders the rows that a reduce program reads; a statement orders them itself")]
    OrderOfStatement,
    #[error("{option}: a column name is empty")]
    EmptyName { option: &'static str },
    #[error("{of}: the column `{column}` is named twice")]
    Twice { of: String, column: String },
    #[error("without a reduce there is one input; several are brought together by --reduce")]
    SeveralToMap,
    #[error("--key, --combine and --then-by say how a reduce gets its rows, and there is no --reduce")]
    NoReduce,
    #[error("--per-shard is for maps without a reduce, and there is one")]
    PerShardWithReduce,
    #[error("there is nothing to do: give a --map, a --reduce or both")]
    NothingToDo,
    #[error("the key column `{key}` is not among the rows of {input}, which have {columns}")]
    NoKey { key: String, input: String, columns: String },
    /// The inputs with the types they have.
    #[error(
        "the key column `{key}` is {} in {} and {} in {}, which cannot be compared; CAST one of them in --map",
        first.1, first.0, second.1, second.0
    )]
    KeyTypes { key: String, first: (String, DataType), second: (String, DataType) },
    #[error("files are for programs, and there is none")]
    FilesWithoutProgram,
    #[error("`{}` is not the name of a file", .0.escape_debug())]
    FileName(String),
    #[error("two files are named `{0}`: programs see them in one folder")]
    TwoFiles(String),
}

impl OwnUnfit for MapReduceUnfit {}

/// Tables are named by words, so that statements can name them without quotes.
fn check_table_name(name: &str) -> Result<(), MapReduceUnfit> {
    let is_word = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    if is_word {
        return Ok(());
    }
    Err(MapReduceUnfit::TableName(name.to_owned()))
}

/// The keys, in types in which the rows of all these inputs can be compared.
pub fn common_keys(keys: &[String], inputs: &[(&str, &Schema)]) -> Result<Vec<HashColumn>, MapReduceUnfit> {
    let comparable = |a: DataType, b: DataType| {
        // What becomes text only when it is joined has nothing in common.
        a == b || a == DataType::Null || b == DataType::Null || a.join(b) != DataType::String
    };
    let common = |key: &String| {
        let mut sum: Option<(&str, DataType)> = None;
        for (input, schema) in inputs {
            let Some(field) = schema.get(key) else {
                let (key, input) = (key.clone(), (*input).to_owned());
                return Err(MapReduceUnfit::NoKey { key, input, columns: schema.names_joined() });
            };
            sum = match sum {
                None => Some((input, field.dtype)),
                Some((first, dtype)) if comparable(dtype, field.dtype) => Some((first, dtype.join(field.dtype))),
                Some((first, dtype)) => {
                    let first = ((*first).to_owned(), dtype);
                    let second = ((*input).to_owned(), field.dtype);
                    return Err(MapReduceUnfit::KeyTypes { key: key.clone(), first, second });
                }
            };
        }
        Ok(HashColumn { name: key.clone(), dtype: sum.map(|(_, dtype)| dtype) })
    };
    keys.iter().map(common).collect()
}

/// The rows of an input as a reduce sees them: keys are in the type in which all inputs can be compared.
pub fn side_schema(map: &Schema, keys: &[HashColumn]) -> Schema {
    let mut schema = map.clone();
    for field in &mut schema.fields {
        if let Some(dtype) = keys.iter().find(|k| k.name == field.name).and_then(|k| k.dtype) {
            field.dtype = dtype;
        }
    }
    schema.published()
}

/// Parses and resolves every statement, and tries the combiner on a sample. Its `result` is [`Checked`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckTask {
    pub spec: Shared<MapReduceSpec>,
    /// The inputs' schemas, in order.
    pub schemas: Shared<Vec<Schema>>,
    /// A shard of each input to take a sample from, where it has any.
    pub samples: Shared<Vec<Option<ShardInput>>>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    /// What each map puts out; `None` where only a run can tell (a program that writes Arrow streams of its own columns).
    pub maps: Vec<Option<Schema>>,
    /// The keys with the types in which they are compared; `None`: as they come.
    pub keys: Vec<HashColumn>,
    /// What the reduce, or the only map, puts out, where that is known.
    pub output: Option<Schema>,
}

/// Where a map's rows go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapOutput {
    /// Shards, in order.
    Shards,
    /// To the shuffle, by the hash of the keys (one partition where there are none).
    Shuffle { keys: Vec<HashColumn>, partitions: u32, combine: Option<String> },
}

/// Maps one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapTask {
    pub input: ShardInput,
    pub schema: Shared<Schema>,
    /// `None`: the rows as they are.
    pub step: Option<Shared<Step>>,
    pub output: Shared<MapOutput>,
    /// What the rows it puts out look like, where that is known.
    pub produces: Option<Shared<Schema>>,
    pub work: Shared<Work>,
    /// For messages and rejects: the dataset's name and the rows before this shard.
    pub source_name: String,
    pub first_row: u64,
}

/// Combines what some map tasks put into the one partition of a global group, into one such partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CombineTask {
    pub runs: Vec<TaskRange>,
    pub schema: Shared<Schema>,
    pub statement: Shared<String>,
}

/// The rows of one input as a reduce sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceSide {
    pub name: String,
    pub runs: Vec<TaskRange>,
    pub schema: Schema,
}

/// Reduces partitions `from..to` of every side, one after another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceTask {
    pub sides: Shared<Vec<ReduceSide>>,
    pub partitions: (u32, u32),
    /// Partitions in all, a power of two.
    pub of: u32,
    pub keys: Shared<Vec<HashColumn>>,
    pub then_by: Shared<Vec<SortKey>>,
    pub step: Shared<Step>,
    pub produces: Option<Shared<Schema>>,
    pub work: Shared<Work>,
}

impl Kind for MapReduceSpec {
    fn inputs(&self) -> Vec<&DatasetRef> {
        self.inputs.iter().map(|input| &input.dataset).collect()
    }

    fn inputs_mut(&mut self) -> Vec<&mut DatasetRef> {
        self.inputs.iter_mut().map(|input| &mut input.dataset).collect()
    }

    writes!(output, replicas);

    fn objects(&self) -> Vec<&ObjectRef> {
        self.work.files.iter().map(|file| &file.object).collect()
    }
}

impl Task for CheckTask {
    fn opens(&self) -> Vec<&ShardInput> {
        self.samples.iter().flatten().collect()
    }

    /// It takes a sample.
    fn input_bytes(&self) -> u64 {
        0
    }

    fn runs_programs(&self) -> bool {
        self.spec.runs_programs()
    }
}

impl Reporting for CheckTask {
    type Report = Checked;
}

impl Task for MapTask {
    fn opens(&self) -> Vec<&ShardInput> {
        vec![&self.input]
    }

    fn runs_programs(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.is_program())
    }

    fn expects(&self) -> Option<&Schema> {
        self.produces.as_deref()
    }
}

impl Task for CombineTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }
}

impl Task for ReduceTask {
    fn opens(&self) -> Vec<&ShardInput> {
        Vec::new()
    }

    fn runs_programs(&self) -> bool {
        self.step.is_program()
    }

    fn expects(&self) -> Option<&Schema> {
        self.produces.as_deref()
    }
}
