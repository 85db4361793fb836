//! A function of one row as a plain function over columns.

use std::hash::{Hash, Hasher};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// What a function is called with.
pub struct Call {
    /// All arguments, as long as there are rows.
    pub columns: Vec<ArrayRef>,
    /// Of each argument, whether it is one for all rows.
    pub constant: Vec<bool>,
}

/// Brings arguments to the types that the function takes, or says what it takes.
pub type Coerce = fn(&[ArrowType]) -> Result<Vec<ArrowType>>;

/// A function of one row by its name.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub name: &'static str,
    pub coerce: Coerce,
    /// By the types that `coerce` made.
    pub gives: fn(&[ArrowType]) -> ArrowType,
    pub run: fn(&Call) -> Result<ArrayRef>,
}

#[derive(Debug)]
struct Function {
    kernel: Kernel,
    signature: Signature,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.kernel.name == other.kernel.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kernel.name.hash(state);
    }
}

impl From<Kernel> for ScalarUDF {
    fn from(kernel: Kernel) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        ScalarUDF::new_from_impl(Function { kernel, signature })
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kernel.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[ArrowType]) -> Result<Vec<ArrowType>> {
        (self.kernel.coerce)(types)
    }

    fn return_type(&self, types: &[ArrowType]) -> Result<ArrowType> {
        Ok((self.kernel.gives)(types))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().map(|arg| matches!(arg, ColumnarValue::Scalar(_))).collect::<Vec<_>>();
        let all = !constant.is_empty() && constant.iter().all(|c| *c);
        let rows = if all { 1 } else { args.number_rows };
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let made = (self.kernel.run)(&Call { columns, constant })?;
        if all {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}
