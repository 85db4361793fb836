//! The options of one `[[rule]]` table, taken one by one; every mistake names file, line, what was found and what is allowed.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::columns::did_you_mean;
use super::error::{FileFault, RuleFileError};
use super::scalar::{Scalar, read_time};

/// The text of a rules file, to turn places in it into lines.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    pub fn line(&self, offset: usize) -> u32 {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        u32::try_from(memchr::memchr_iter(b'\n', before).count() + 1).unwrap_or(u32::MAX)
    }

    pub fn error(&self, line: u32, fault: FileFault) -> RuleFileError {
        RuleFileError::At { file: self.file.to_owned(), line, fault }
    }
}

/// One value with its line.
#[derive(Clone, Copy)]
struct Entry<'a> {
    line: u32,
    value: &'a DeValue<'a>,
}

/// The options of one rule.
pub(super) struct Options<'a> {
    source: Source<'a>,
    /// The line of the rule.
    pub line: u32,
    /// The operation, once known.
    op: &'a str,
    entries: BTreeMap<&'a str, Entry<'a>>,
}

impl<'a> Options<'a> {
    pub fn new(source: Source<'a>, line: u32, table: &'a DeTable<'a>) -> Self {
        let entry = |(key, value): (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| {
            (key.get_ref().as_ref(), Entry { line: source.line(key.span().start), value: value.get_ref() })
        };
        Self { source, line, op: "", entries: table.iter().map(entry).collect() }
    }

    /// Takes `op`, which must be one of `known`.
    pub fn take_op(&mut self, known: &[&'static str]) -> Result<&'static str, RuleFileError> {
        let all = known.join(", ");
        let Some(entry) = self.entries.remove("op") else {
            return Err(self.source.error(self.line, FileFault::NoOperation { allowed: all }));
        };
        let DeValue::String(name) = entry.value else {
            let found = kind(entry.value);
            return Err(self.source.error(entry.line, FileFault::OperationNotText { found, allowed: all }));
        };
        // Both spellings are English; the counters know one.
        let name = if name == "standardize" { "standardise" } else { name.as_ref() };
        match known.iter().find(|k| **k == name) {
            Some(op) => {
                self.op = op;
                Ok(op)
            }
            None => {
                let hint = did_you_mean(name, known);
                let fault = FileFault::UnknownOperation { name: name.to_owned(), hint, allowed: all };
                Err(self.source.error(entry.line, fault))
            }
        }
    }

    /// Refuses any option that is not in `allowed`; of several, the first in the file.
    pub fn allow(&self, allowed: &[&str]) -> Result<(), RuleFileError> {
        let unknown = self.entries.iter().filter(|(name, _)| !allowed.contains(name)).min_by_key(|(_, e)| e.line);
        match unknown {
            None => Ok(()),
            Some((name, entry)) => {
                let hint = did_you_mean(name, allowed);
                let all = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let (name, op) = ((*name).to_owned(), self.op.to_owned());
                Err(self.source.error(entry.line, FileFault::UnknownOption { name, op, hint, allowed: all }))
            }
        }
    }

    pub fn missing(&self, what: &str) -> RuleFileError {
        self.source.error(self.line, FileFault::Missing { op: self.op.to_owned(), what: what.to_owned() })
    }

    /// A mistake in option `name`, at its line.
    pub fn wrong(&self, line: u32, name: &str, what: &str) -> RuleFileError {
        let (option, op, what) = (name.to_owned(), self.op.to_owned(), what.to_owned());
        self.source.error(line, FileFault::Option { option, op, what })
    }

    pub fn line_of(&self, name: &str) -> u32 {
        self.entries.get(name).map_or(self.line, |e| e.line)
    }

    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn type_error<T>(&self, name: &str, entry: Entry<'_>, wanted: &str) -> Result<T, RuleFileError> {
        Err(self.wrong(entry.line, name, &format!("must be {wanted}, not {}", kind(entry.value))))
    }

    pub fn string(&self, name: &str) -> Result<Option<String>, RuleFileError> {
        match self.entries.get(name) {
            None => Ok(None),
            Some(Entry { value: DeValue::String(text), .. }) => Ok(Some(text.to_string())),
            Some(entry) => self.type_error(name, *entry, "a string"),
        }
    }

    pub fn required_string(&self, name: &str) -> Result<String, RuleFileError> {
        self.string(name)?.ok_or_else(|| self.missing(&format!("`{name}`, a string")))
    }

    pub fn boolean(&self, name: &str) -> Result<bool, RuleFileError> {
        match self.entries.get(name) {
            None => Ok(false),
            Some(Entry { value: DeValue::Boolean(b), .. }) => Ok(*b),
            Some(entry) => self.type_error(name, *entry, "true or false"),
        }
    }

    /// A positive, finite number.
    pub fn positive(&self, name: &str, default: f64) -> Result<f64, RuleFileError> {
        let Some(entry) = self.entries.get(name) else { return Ok(default) };
        let x = match scalar(entry.value) {
            Some(Scalar::Int(n)) => n as f64,
            Some(Scalar::Float(x)) => x,
            _ => return self.type_error(name, *entry, "a number"),
        };
        if x.is_finite() && x > 0.0 {
            Ok(x)
        } else {
            Err(self.wrong(entry.line, name, &format!("must be above 0, not {x}")))
        }
    }

    pub fn character(&self, name: &str) -> Result<Option<char>, RuleFileError> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) if !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-') => Ok(Some(c)),
            _ => Err(self.wrong(
                self.line_of(name),
                name,
                &format!("must be one character that is no letter, digit or sign, not `{text}`"),
            )),
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, RuleFileError> {
        let Some(text) = self.string(name)? else { return Ok(None) };
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*value));
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(&text, &words);
        Err(self.wrong(self.line_of(name), name, &format!("cannot be `{text}`{hint}; allowed: {}", words.join(", "))))
    }

    /// A string, or a list of one or more strings.
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>, RuleFileError> {
        let Some(values) = self.scalars(name)? else { return Ok(None) };
        let texts = values.into_iter().map(|value| match value {
            Scalar::Text(text) => Ok(text),
            other => Err(self.wrong(
                self.line_of(name),
                name,
                &format!("must be a list of strings; it has {other}, {}", other.kind()),
            )),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// A value, or a list of one or more values.
    pub fn scalars(&self, name: &str) -> Result<Option<Vec<Scalar>>, RuleFileError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let values = match entry.value {
            DeValue::Array(items) => {
                let item = |item: &Spanned<DeValue<'_>>| {
                    scalar(item.get_ref()).ok_or_else(|| {
                        let line = self.source.line(item.span().start);
                        self.wrong(
                            line,
                            name,
                            &format!("must be a list of plain values; it has {}", kind(item.get_ref())),
                        )
                    })
                };
                items.iter().map(item).collect::<Result<Vec<_>, _>>()?
            }
            value => match scalar(value) {
                Some(value) => vec![value],
                None => return self.type_error(name, *entry, "a value or a list of values"),
            },
        };
        if values.is_empty() { Err(self.wrong(entry.line, name, "must not be empty")) } else { Ok(Some(values)) }
    }

    pub fn scalar(&self, name: &str) -> Result<Option<Scalar>, RuleFileError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        match scalar(entry.value) {
            Some(value) => Ok(Some(value)),
            None => self.type_error(name, *entry, "a string, number, boolean, date or datetime"),
        }
    }

    /// A table of strings, in the order of the file.
    pub fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, RuleFileError> {
        let wanted = "a table of old and new names, such as { old = \"new\" }";
        let Some(entry) = self.entries.get(name) else { return Err(self.missing(&format!("`{name}`, {wanted}"))) };
        let DeValue::Table(table) = entry.value else { return self.type_error(name, *entry, wanted) };
        let mut pairs: Vec<_> = table.iter().collect();
        pairs.sort_by_key(|(key, _)| key.span().start);
        let pair = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| match value.get_ref() {
            DeValue::String(new) if !new.is_empty() => Ok((key.get_ref().to_string(), new.to_string())),
            DeValue::String(_) => Err(self.wrong(
                self.source.line(key.span().start),
                name,
                &format!("gives `{}` an empty name", key.get_ref()),
            )),
            other => {
                let line = self.source.line(key.span().start);
                Err(self.wrong(line, name, &format!("must give `{}` a name, not {}", key.get_ref(), kind(other))))
            }
        };
        let pairs = pairs.into_iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        if pairs.is_empty() { Err(self.wrong(entry.line, name, "must not be empty")) } else { Ok(pairs) }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<Scalar> {
    Some(match value {
        DeValue::String(text) => Scalar::Text(text.to_string()),
        DeValue::Integer(n) => Scalar::Int(i64::from_str_radix(n.as_str(), n.radix()).ok()?),
        DeValue::Float(x) => Scalar::Float(x.as_str().parse().ok()?),
        DeValue::Boolean(b) => Scalar::Boolean(*b),
        DeValue::Datetime(t) => read_time(&t.to_string())?,
        DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

pub(super) fn kind(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string \"{text}\""),
        DeValue::Integer(n) => format!("the number {n}"),
        DeValue::Float(x) => format!("the number {x}"),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(t) => format!("{t}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
