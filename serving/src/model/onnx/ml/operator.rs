//! An operator on rows as an operator of tract, in whose graphs it runs among the core operators.

use std::fmt::Debug;
use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use crate::model::onnx::OnnxError;

/// Makes a row of numbers of a row of numbers.
pub trait RowOperator: Debug + Send + Sync + 'static {
    /// How many numbers it makes of a row of `width`, or why it cannot take such rows.
    fn outputs(&self, width: usize) -> Result<usize, OnnxError>;

    /// Computes one row; `out` is as long as [`RowOperator::outputs`] said. `single`: the numbers are float32, and rounded as
    /// onnxruntime would round them.
    fn row(&self, x: &[f64], single: bool, out: &mut [f32]);

    /// It was made to take NaN for a missing value.
    fn takes_missing(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
struct Rows {
    name: String,
    operator: Arc<dyn RowOperator>,
}

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.operator, &other.operator)
    }
}

impl Eq for Rows {}

impl Rows {
    fn outputs(&self, width: usize) -> TractResult<usize> {
        self.operator.outputs(width).map_err(|why| format_err!("{why}"))
    }
}

impl Op for Rows {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Rows {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let &[rows, width] = input.shape() else { bail!("operator `{}` takes rows and columns", self.name) };
        let outputs = self.outputs(width)?;
        let double = input.datum_type() == f64::datum_type();
        // Whole numbers are float32 to these operators.
        let narrow = if double { None } else { Some(input.cast_to::<f32>()?) };
        let wide = match &narrow {
            Some(narrow) => narrow.cast_to::<f64>()?,
            None => input.cast_to::<f64>()?,
        };
        let numbers = wide.try_as_plain_ram()?.as_slice::<f64>()?;
        let mut out = vec![0f32; rows * outputs];
        if width > 0 && outputs > 0 {
            for (x, out) in numbers.chunks_exact(width).zip(out.chunks_exact_mut(outputs)) {
                self.operator.row(x, !double, out);
            }
        }
        Ok(tvec!(Tensor::from_shape(&[rows, outputs], &out)?.into_tvalue()))
    }
}

impl TypedOp for Rows {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[input] = inputs else { bail!("operator `{}` takes one input", self.name) };
        let [rows, width] = input.shape.as_ref() else { bail!("operator `{}` takes rows and columns", self.name) };
        let outputs = self.outputs(width.to_usize()?)?;
        Ok(tvec!(f32::fact([rows.clone(), outputs.to_dim()])))
    }

    as_op!();
}

impl Expansion for Rows {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.given(&inputs[0].shape[1], move |s, width| {
            let made = self.outputs(width.to_usize()?)?;
            s.equals(&outputs[0].shape[1], made.to_dim())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

fn build(_: &ParsingContext<'_>, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let operator = super::operator(node).map_err(|why| format_err!("{why}"))?;
    Ok((expand(Rows { name: node.op_type.clone(), operator: operator.into() }), Vec::new()))
}

/// Lets a reader of graphs make these operators.
pub fn register(onnx: &mut Onnx) {
    for name in super::OPERATORS.into_iter().filter(|name| super::is_ours(name)) {
        onnx.op_register.insert(name, build);
    }
}
