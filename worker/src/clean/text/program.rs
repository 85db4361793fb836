//! Consecutive text rules on one column as one program, so that each cell is visited once and copied only if it changes.

use memchr::memmem::Finder;
use regex::Regex;
use shardmill_common::rules::{Case, NormalForm, Op, Rule, RuleError, Scalar, Side};

use super::ops;

/// One rule of a program.
pub struct Step {
    op: TextOp,
    /// The index of the rule, for its count.
    pub rule: usize,
}

enum TextOp {
    Trim(Side),
    Collapse,
    Lower,
    Upper,
    Title,
    Normalize(NormalForm),
    Replace { find: Box<Finder<'static>>, with: String },
    ReplaceWhole { find: String, with: String },
    Regex { find: Regex, with: String },
    NullIf(Vec<String>),
    NullIfIgnoringCase(Vec<String>),
}

impl Step {
    /// The step that does what `rule` does to a column of strings; `None` when it is no text rule.
    pub fn compile(rule: &Rule, index: usize) -> Result<Option<Step>, RuleError> {
        let op = match &rule.op {
            Op::Trim { side } => TextOp::Trim(*side),
            Op::Collapse => TextOp::Collapse,
            Op::Case { to: Case::Lower } => TextOp::Lower,
            Op::Case { to: Case::Upper } => TextOp::Upper,
            Op::Case { to: Case::Title } => TextOp::Title,
            Op::Normalize { form } => TextOp::Normalize(*form),
            Op::Replace { find, with, regex: true, whole } => {
                let pattern = if *whole { whole_cell(find) } else { find.clone() };
                TextOp::Regex { find: compile_regex(rule, &pattern)?, with: with.clone() }
            }
            Op::Replace { find, with, whole: true, .. } => {
                TextOp::ReplaceWhole { find: find.clone(), with: with.clone() }
            }
            Op::Replace { find, with, .. } => {
                TextOp::Replace { find: Box::new(Finder::new(find).into_owned()), with: with.clone() }
            }
            Op::NullIf { values, ignore_case } => {
                let texts = values.iter().filter_map(|v| match v {
                    Scalar::Text(text) => Some(text),
                    _ => None,
                });
                if *ignore_case {
                    TextOp::NullIfIgnoringCase(texts.map(|t| t.to_lowercase()).collect())
                } else {
                    TextOp::NullIf(texts.cloned().collect())
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(Step { op, rule: index }))
    }

    pub fn can_make_nulls(&self) -> bool {
        matches!(self.op, TextOp::NullIf(_) | TextOp::NullIfIgnoringCase(_))
    }
}

/// A pattern that matches only whole cells.
pub fn whole_cell(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

pub fn compile_regex(rule: &Rule, pattern: &str) -> Result<Regex, RuleError> {
    Regex::new(pattern).map_err(|e| rule.error(format!("`{pattern}` is not a regular expression: {e}")))
}

/// Two buffers that take turns, reused for every cell.
#[derive(Default)]
pub struct Scratch {
    a: String,
    b: String,
}

/// What became of a cell.
pub enum Cell<'s> {
    /// The cell itself, or a piece of it.
    Kept(&'s str),
    Made(&'s str),
    Null,
}

#[derive(Clone, Copy)]
enum At {
    Source,
    A,
    B,
}

/// Takes one cell through the steps; `counts` has an entry for each step.
#[inline]
pub fn run<'s>(steps: &[Step], source: &'s str, scratch: &'s mut Scratch, counts: &mut [u64]) -> Cell<'s> {
    let Scratch { a, b } = scratch;
    let mut at = At::Source;
    let (mut start, mut end) = (0, source.len());
    for (step, count) in steps.iter().zip(counts) {
        let (text, out): (&str, &mut String) = match at {
            At::Source => (&source[start..end], &mut *a),
            At::A => (&a[start..end], &mut *b),
            At::B => (&b[start..end], &mut *a),
        };
        let changed = match &step.op {
            TextOp::Trim(side) => {
                let kept = ops::trim(text, *side);
                if kept.len() != text.len() {
                    *count += 1;
                    start += kept.as_ptr() as usize - text.as_ptr() as usize;
                    end = start + kept.len();
                }
                continue;
            }
            TextOp::NullIf(values) => {
                if values.iter().any(|v| v == text) {
                    *count += 1;
                    return Cell::Null;
                }
                continue;
            }
            TextOp::NullIfIgnoringCase(values) => {
                if values.iter().any(|v| v.eq_ignore_ascii_case(text))
                    || (!text.is_ascii() && values.contains(&text.to_lowercase()))
                {
                    *count += 1;
                    return Cell::Null;
                }
                continue;
            }
            TextOp::Collapse => ops::collapse(text, out),
            TextOp::Lower => ops::lower(text, out),
            TextOp::Upper => ops::upper(text, out),
            TextOp::Title => ops::title(text, out),
            TextOp::Normalize(form) => ops::normalize(text, *form, out),
            TextOp::Replace { find, with } => ops::replace(text, find, with, out),
            TextOp::Regex { find, with } => ops::replace_regex(text, find, with, out),
            TextOp::ReplaceWhole { find, with } => {
                let hit = text == find && with != find;
                if hit {
                    out.clear();
                    out.push_str(with);
                }
                hit
            }
        };
        if changed {
            *count += 1;
            (start, end) = (0, out.len());
            at = if matches!(at, At::A) { At::B } else { At::A };
        }
    }
    match at {
        At::Source => Cell::Kept(&source[start..end]),
        At::A => Cell::Made(&a[start..end]),
        At::B => Cell::Made(&b[start..end]),
    }
}
