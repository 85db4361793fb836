//! A graph that was made ready, and its predictions for encoded rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use shardmill_common::model::{OnnxGraph, OnnxOutput};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::tract_hir::internal::*;

use super::super::matrix::Matrix;
use super::super::score::Scores;
use super::simplify::{limit_constants, simplify};
use super::{ml, read};
use crate::model::onnx::OnnxError;

/// Rows that are computed at a time.
const BLOCK: usize = 4096;
/// Numbers that all operators together may put out for a block of rows; a block is shortened until it is so.
const MOST_NUMBERS: usize = 1 << 26;

/// Types of inputs, by their numbers in onnx.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Float,
    Double,
    Int64,
}

impl Element {
    pub const fn of(number: i32) -> Option<Self> {
        match number {
            1 => Some(Element::Float),
            11 => Some(Element::Double),
            7 => Some(Element::Int64),
            _ => None,
        }
    }

    const fn datum_type(self) -> DatumType {
        match self {
            Element::Float => DatumType::F32,
            Element::Double => DatumType::F64,
            Element::Int64 => DatumType::I64,
        }
    }
}

struct Input {
    element: Element,
    /// Its first feature, and how many.
    first: usize,
    columns: usize,
    /// The graph takes a list of numbers, not rows and columns.
    flat: bool,
}

/// A graph made ready once for any number of rows.
pub struct Graph {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<Input>,
    output: OnnxOutput,
    features: usize,
    /// Rows that are computed at a time.
    block: usize,
    /// Whether it is made to take NaN for a missing value.
    pub takes_missing: bool,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("output", &self.output).field("features", &self.features).finish_non_exhaustive()
    }
}

/// Runs what a library does with a file of other people's: a panic in it is an error.
pub fn guarded<T>(what: impl FnOnce() -> Result<T, OnnxError>) -> Result<T, OnnxError> {
    catch_unwind(AssertUnwindSafe(what)).unwrap_or_else(|_| Err(OnnxError::Run("it is not well formed".into())))
}

fn shown(error: TractError) -> OnnxError {
    // The innermost cause says most; the rest are places in the library.
    let cause = error.chain().last().map(ToString::to_string).unwrap_or_default();
    OnnxError::Run(cause.lines().next().unwrap_or_default().to_owned())
}

impl Graph {
    /// Makes the graph of a file ready.
    pub fn prepare(bytes: &[u8], known: &OnnxGraph) -> Result<Self, OnnxError> {
        let (model, mut graph) = read::model(bytes)?;
        let name = match &known.output {
            OnnxOutput::Probabilities { name } | OnnxOutput::Number { name } => name,
            OnnxOutput::Clusters { squares } => squares,
        };
        read::prune(&mut graph, &[name])?;
        read::check_operators(graph.node.iter())?;
        guarded(move || Self::build(model, graph, known, name))
    }

    fn build(model: ModelProto, mut graph: GraphProto, known: &OnnxGraph, output: &str) -> Result<Self, OnnxError> {
        let mut inputs = Vec::with_capacity(known.inputs.len());
        let mut first = 0;
        let mut infos = Vec::with_capacity(known.inputs.len());
        for input in &known.inputs {
            let info = graph.input.iter().find(|i| i.name == input.name);
            let info = info.ok_or_else(|| OnnxError::input(&input.name, "is not there"))?;
            let (element, dims) = super::inspect::tensor_type(info)
                .and_then(|(element, dims)| Some((Element::of(element)?, dims)))
                .ok_or_else(|| OnnxError::input(&input.name, "takes no numbers"))?;
            let columns = input.columns as usize;
            inputs.push(Input { element, first, columns, flat: dims.len() == 1 });
            infos.push(info.clone());
            first += columns;
        }
        if graph.input.len() != infos.len() {
            return Err(OnnxError::Malformed("the graph has inputs that no feature goes into".into()));
        }
        graph.input = infos;
        let takes_missing = simplify(&mut graph, output)?;
        limit_constants(&graph)?;
        let model = ModelProto { graph: Some(graph), ..model };
        let (plan, block) = plan(&model, &inputs).map_err(shown)??;
        Ok(Self { plan, inputs, output: known.output.clone(), features: first, block, takes_missing })
    }

    /// Predictions for the rows of a matrix; `classes` is how many there are.
    pub fn score(&self, matrix: &Matrix, classes: usize) -> Result<Scores, OnnxError> {
        if matrix.rows == 0 {
            return self.scores(Vec::new(), if classes > 0 { classes } else { 1 }, 0, classes);
        }
        let (numbers, columns) = self.numbers(matrix)?;
        self.scores(numbers, columns, matrix.rows, classes)
    }

    /// What the graph puts out for the rows of a matrix, and how many numbers a row.
    pub fn numbers(&self, matrix: &Matrix) -> Result<(Vec<f64>, usize), OnnxError> {
        let (mut numbers, mut columns) = (Vec::new(), 1);
        let width = self.features;
        if matrix.dense.len() != width || !matrix.codes.is_empty() {
            let given = matrix.dense.len();
            return Err(OnnxError::Width(format!("the graph takes rows of {width} numbers, and is given {given}")));
        }
        let mut row = 0;
        while row < matrix.rows {
            let rows = self.block.min(matrix.rows - row);
            let values = matrix.values.get(row * width..(row + rows) * width).unwrap_or_default();
            let (found, per_row) = guarded(|| self.run(values, rows).map_err(shown))?;
            columns = per_row;
            numbers.extend(found);
            row += rows;
        }
        Ok((numbers, columns))
    }

    /// The numbers of a block of rows, and how many there are of each.
    fn run(&self, values: &[f64], rows: usize) -> TractResult<(Vec<f64>, usize)> {
        let mut tensors = TVec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let taken = |row: &[f64]| row.get(input.first..input.first + input.columns).unwrap_or_default().to_vec();
            let own: Vec<f64> = if input.columns == self.features {
                values.to_vec()
            } else {
                values.chunks_exact(self.features.max(1)).flat_map(taken).collect()
            };
            let shape: &[usize] = if input.flat { &[rows] } else { &[rows, input.columns] };
            let tensor = match input.element {
                Element::Double => Tensor::from_shape(shape, &own)?,
                Element::Float => Tensor::from_shape(shape, &own.iter().map(|x| *x as f32).collect::<Vec<_>>())?,
                Element::Int64 => {
                    if let Some(x) = own.iter().find(|x| x.fract() != 0.0 || !x.is_finite()) {
                        bail!("it takes whole numbers, and is given {x}");
                    }
                    Tensor::from_shape(shape, &own.iter().map(|x| *x as i64).collect::<Vec<_>>())?
                }
            };
            tensors.push(tensor.into_tvalue());
        }
        let outputs = self.plan.run(tensors)?;
        let Some(output) = outputs.first() else { bail!("it puts out nothing") };
        let numbers = output.cast_to::<f64>()?.try_as_plain_ram()?.as_slice::<f64>()?.to_vec();
        match output.shape().split_first() {
            Some((n, rest)) if *n == rows => Ok((numbers, rest.iter().product())),
            _ => bail!("it puts out the shape {:?} for {rows} rows", output.shape()),
        }
    }

    fn scores(&self, numbers: Vec<f64>, columns: usize, rows: usize, classes: usize) -> Result<Scores, OnnxError> {
        match &self.output {
            OnnxOutput::Number { .. } if columns == 1 => Ok(Scores::Numbers(numbers)),
            OnnxOutput::Number { name } => {
                Err(OnnxError::Width(format!("the output `{name}` has {columns} numbers a row, and one is wanted")))
            }
            OnnxOutput::Probabilities { .. } if columns == classes => {
                Ok(Scores::Classes { classes, probabilities: numbers })
            }
            OnnxOutput::Probabilities { .. } if columns == 1 && classes == 2 => {
                Ok(Scores::Classes { classes, probabilities: numbers.iter().flat_map(|p| [1.0 - p, *p]).collect() })
            }
            OnnxOutput::Probabilities { name } => {
                let what = format!("the output `{name}` has {columns} numbers a row, and there are {classes} classes");
                Err(OnnxError::Width(what))
            }
            OnnxOutput::Clusters { .. } => {
                let (mut clusters, mut distances) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
                for row in numbers.chunks_exact(columns.max(1)) {
                    let mut best = (0, f64::INFINITY);
                    for (n, distance) in (0u32..).zip(row) {
                        if *distance < best.1 {
                            best = (n, *distance);
                        }
                    }
                    clusters.push(best.0);
                    distances.push(best.1);
                }
                Ok(Scores::Clusters { clusters, distances })
            }
        }
    }
}

/// The plan, and how many rows it should be given at a time.
fn plan(model: &ModelProto, inputs: &[Input]) -> TractResult<Result<(Arc<TypedSimplePlan>, usize), OnnxError>> {
    let mut onnx = tract_onnx::onnx();
    ml::register(&mut onnx);
    let parsed = onnx.parse(model, None)?;
    if let Some(missing) = parsed.unresolved_inputs.first() {
        bail!("nothing makes `{missing}`");
    }
    let mut model = parsed.model;
    let rows = model.symbols.sym("N");
    for (n, input) in inputs.iter().enumerate() {
        let mut shape = tvec!(rows.to_dim());
        if !input.flat {
            shape.push(input.columns.to_dim());
        }
        model.set_input_fact(n, input.element.datum_type().fact(shape).into())?;
    }
    let typed = model.into_typed()?;
    let block = match block(&typed, &rows)? {
        Some(block) => block,
        None => return Ok(Err(OnnxError::Memory)),
    };
    Ok(Ok((typed.into_optimized()?.into_runnable()?, block)))
}

/// How many rows can be computed at a time within `MOST_NUMBERS`; `None`: not one.
fn block(model: &TypedModel, rows: &Symbol) -> TractResult<Option<usize>> {
    let mut block = BLOCK;
    while block > 0 {
        let values = SymbolValues::default().with(rows, block as i64);
        let mut sum: usize = 0;
        for node in model.nodes() {
            for output in &node.outputs {
                let volume = output.fact.shape.iter().try_fold(1usize, |all, dim| {
                    let dim = usize::try_from(dim.eval(&values).to_i64()?)?;
                    TractResult::Ok(all.saturating_mul(dim))
                })?;
                sum = sum.saturating_add(volume);
            }
        }
        if sum <= MOST_NUMBERS {
            return Ok(Some(block));
        }
        block /= 4;
    }
    Ok(None)
}
