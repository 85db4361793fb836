//! A graph under construction: operators with fresh names for what they put out, constants, inputs and outputs.

use std::collections::HashSet;

use super::proto::{
    AttributeProto, Dimension, GraphProto, NodeProto, TensorProto, TensorShapeProto, TensorType, TypeProto,
    ValueInfoProto,
};

/// Element types, by their numbers in onnx.proto.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Int64 = 7,
    String = 8,
    Bool = 9,
    Double = 11,
}

/// The operators of ONNX itself, and those of its companion for classical models.
const CORE: &str = "";
pub const ML: &str = "ai.onnx.ml";

#[derive(Default)]
pub struct Graph {
    proto: GraphProto,
    taken: HashSet<String>,
}

/// A named setting of an operator.
pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(i), r#type: 2, ..AttributeProto::default() }
}

pub fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.to_owned(), ints, r#type: 7, ..AttributeProto::default() }
}

pub fn strings<'a>(name: &str, texts: impl Iterator<Item = &'a str>) -> AttributeProto {
    let strings = texts.map(|t| t.as_bytes().to_vec()).collect();
    AttributeProto { name: name.to_owned(), strings, r#type: 8, ..AttributeProto::default() }
}

impl Graph {
    /// An input, one number or text a row, under exactly this name.
    pub fn input(&mut self, name: &str, element: Element) {
        self.taken.insert(name.to_owned());
        self.proto.input.push(value_info(name, element, Some(1)));
    }

    /// An output of one value (`width` absent) or `width` values a row, computed by `op`. Returns its name: `name`, with
    /// underscores behind where an input has that name.
    pub fn output(&mut self, name: &str, element: Element, width: Option<usize>, op: &str, inputs: &[&str]) -> String {
        let mut name = name.to_owned();
        while self.taken.contains(&name) {
            name.push('_');
        }
        self.taken.insert(name.clone());
        self.proto.output.push(value_info(&name, element, width.map(|w| w as i64)));
        self.push(CORE, op, inputs, Vec::new(), name.clone());
        name
    }

    pub fn op(&mut self, op: &str, inputs: &[&str]) -> String {
        self.op_with(CORE, op, inputs, Vec::new())
    }

    pub fn op_with(&mut self, domain: &str, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh(&op.to_lowercase());
        self.push(domain, op, inputs, attributes, output.clone());
        output
    }

    /// A core operator with settings.
    pub fn core(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.op_with(CORE, op, inputs, attributes)
    }

    fn push(&mut self, domain: &str, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>, output: String) {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            name: format!("node_{output}"),
            output: vec![output],
            op_type: op.to_owned(),
            attribute,
            domain: domain.to_owned(),
        });
    }

    pub fn cast(&mut self, input: &str, element: Element) -> String {
        self.core("Cast", &[input], vec![int("to", element as i64)])
    }

    fn fresh(&mut self, hint: &str) -> String {
        let mut n = self.taken.len();
        loop {
            let name = format!("{hint}_{n}");
            if self.taken.insert(name.clone()) {
                return name;
            }
            n += 1;
        }
    }

    pub fn doubles(&mut self, hint: &str, dims: &[usize], values: impl IntoIterator<Item = f64>) -> String {
        let raw = values.into_iter().flat_map(f64::to_le_bytes).collect();
        self.constant(hint, dims, Element::Double, Some(raw), Vec::new())
    }

    pub fn int64s(&mut self, hint: &str, dims: &[usize], values: impl IntoIterator<Item = i64>) -> String {
        let raw = values.into_iter().flat_map(i64::to_le_bytes).collect();
        self.constant(hint, dims, Element::Int64, Some(raw), Vec::new())
    }

    pub fn bools(&mut self, hint: &str, values: impl IntoIterator<Item = bool>) -> String {
        let raw: Vec<u8> = values.into_iter().map(u8::from).collect();
        self.constant(hint, &[raw.len()], Element::Bool, Some(raw), Vec::new())
    }

    pub fn texts<'a>(&mut self, hint: &str, values: impl IntoIterator<Item = &'a str>) -> String {
        let texts: Vec<Vec<u8>> = values.into_iter().map(|t| t.as_bytes().to_vec()).collect();
        self.constant(hint, &[texts.len()], Element::String, None, texts)
    }

    fn constant(
        &mut self,
        hint: &str,
        dims: &[usize],
        element: Element,
        raw_data: Option<Vec<u8>>,
        string_data: Vec<Vec<u8>>,
    ) -> String {
        let name = self.fresh(hint);
        let dims = dims.iter().map(|d| *d as i64).collect();
        let data_type = element as i32;
        self.proto.initializer.push(TensorProto { dims, data_type, string_data, name: name.clone(), raw_data });
        name
    }

    pub fn finish(mut self, name: &str) -> GraphProto {
        self.proto.name = name.to_owned();
        self.proto
    }
}

fn value_info(name: &str, element: Element, width: Option<i64>) -> ValueInfoProto {
    let rows = Dimension { dim_value: None, dim_param: Some("N".to_owned()) };
    let width = width.map(|w| Dimension { dim_value: Some(w), dim_param: None });
    let shape = TensorShapeProto { dim: std::iter::once(rows).chain(width).collect() };
    let tensor = TensorType { elem_type: element as i32, shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
