//! Core operators on single numbers that tract knows only in part: `Sigmoid`, of which it has an approximation in float32, and
//! `IsNaN`, whose result it takes for a number.

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::attributes::logistic;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Sigmoid,
    IsNaN,
}

impl Unary {
    const fn word(self) -> &'static str {
        match self {
            Unary::Sigmoid => "Sigmoid",
            Unary::IsNaN => "IsNaN",
        }
    }

    fn made_of(self, input: DatumType) -> DatumType {
        match self {
            Unary::Sigmoid => input,
            Unary::IsNaN => bool::datum_type(),
        }
    }
}

impl Op for Unary {
    fn name(&self) -> StaticName {
        // Not tract's name, whose operator it is not.
        format!("Exact{}", self.word()).into()
    }

    op_as_typed_op!();
}

impl EvalOp for Unary {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let wide = input.cast_to::<f64>()?;
        let numbers = wide.try_as_plain_ram()?.as_slice::<f64>()?;
        let made = match self {
            Unary::Sigmoid => {
                let made: Vec<f64> = numbers.iter().map(|z| logistic(*z)).collect();
                Tensor::from_shape(input.shape(), &made)?.cast_to_dt(input.datum_type())?.into_owned()
            }
            Unary::IsNaN => {
                let made: Vec<bool> = numbers.iter().map(|x| x.is_nan()).collect();
                Tensor::from_shape(input.shape(), &made)?
            }
        };
        Ok(tvec!(made.into_tvalue()))
    }
}

impl TypedOp for Unary {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[input] = inputs else { bail!("operator `{}` takes one input", self.word()) };
        Ok(tvec!(self.made_of(input.datum_type).fact(input.shape.clone())))
    }

    as_op!();
}

impl Expansion for Unary {
    fn name(&self) -> StaticName {
        self.word().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        s.given(&inputs[0].datum_type, move |s, of| s.equals(&outputs[0].datum_type, self.made_of(of)))
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, *self, inputs)
    }
}

fn sigmoid(_: &ParsingContext<'_>, _: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(Unary::Sigmoid), Vec::new()))
}

fn is_nan(_: &ParsingContext<'_>, _: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    Ok((expand(Unary::IsNaN), Vec::new()))
}

/// They take the place of tract's.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert("Sigmoid", sigmoid);
    onnx.op_register.insert("IsNaN", is_nan);
}
