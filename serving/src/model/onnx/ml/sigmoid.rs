//! `Sigmoid` of core ONNX: tract knows it for float32 and approximates it; here it is exact to the last digits of either type.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::logistic;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Sigmoid;

impl Op for Sigmoid {
    fn name(&self) -> StaticName {
        "ExactSigmoid".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Sigmoid {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let wide = input.cast_to::<f64>()?;
        let numbers: Vec<f64> = wide.try_as_plain_ram()?.as_slice::<f64>()?.iter().map(|z| logistic(*z)).collect();
        let made = Tensor::from_shape(input.shape(), &numbers)?;
        Ok(tvec!(made.cast_to_dt(input.datum_type())?.into_owned().into_tvalue()))
    }
}

impl TypedOp for Sigmoid {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[input] = inputs else { bail!("operator `Sigmoid` takes one input") };
        Ok(tvec!(input.datum_type.fact(input.shape.clone())))
    }

    as_op!();
}

impl Expansion for Sigmoid {
    fn name(&self) -> StaticName {
        "Sigmoid".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

fn build(_: &ParsingContext<'_>, _: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(Sigmoid), Vec::new()))
}

/// Takes the place of tract's.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Sigmoid", build);
}
