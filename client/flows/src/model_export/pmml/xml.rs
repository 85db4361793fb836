//! XML with few words: elements with attributes, written in order.

use quick_xml::Writer;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::QName;

use super::super::Reason;

pub struct Xml {
    writer: Writer<Vec<u8>>,
}

/// A number that reads back as the same bits.
pub fn number(x: f64) -> String {
    format!("{x:?}")
}

/// A value in an attribute. Line breaks and tabs would be read as blanks if they were not written as references.
fn escape(text: &str) -> Result<String, Reason> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                return Err(Reason::Character(c));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

impl Xml {
    pub fn new() -> Result<Self, Reason> {
        let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
        writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        Ok(Self { writer })
    }

    fn start(name: &'static str, attributes: &[(&str, &str)]) -> Result<BytesStart<'static>, Reason> {
        let mut start = BytesStart::new(name);
        for (key, value) in attributes {
            let value = escape(value)?.into_bytes();
            start.push_attribute(Attribute { key: QName(key.as_bytes()), value: value.into() });
        }
        Ok(start)
    }

    /// An element without content.
    pub fn empty(&mut self, name: &'static str, attributes: &[(&str, &str)]) -> Result<(), Reason> {
        Ok(self.writer.write_event(Event::Empty(Self::start(name, attributes)?))?)
    }

    /// An element around what `inside` writes.
    pub fn element(
        &mut self,
        name: &'static str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        self.writer.write_event(Event::Start(Self::start(name, attributes)?))?;
        inside(self)?;
        Ok(self.writer.write_event(Event::End(BytesEnd::new(name)))?)
    }

    /// An element around a text.
    pub fn text(&mut self, name: &'static str, attributes: &[(&str, &str)], text: &str) -> Result<(), Reason> {
        self.writer.write_event(Event::Start(Self::start(name, attributes)?))?;
        let escaped = escape(text)?;
        self.writer.write_event(Event::Text(BytesText::from_escaped(escaped)))?;
        Ok(self.writer.write_event(Event::End(BytesEnd::new(name)))?)
    }

    pub fn finish(self) -> Vec<u8> {
        let mut bytes = self.writer.into_inner();
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_back_as_they_were() {
        assert_eq!(escape("a\n<\"&\t").unwrap(), "a&#10;&lt;&quot;&amp;&#9;");
        assert!(escape("bell\x07").is_err());
        assert_eq!(number(0.1), "0.1");
        assert_eq!(number(1e-7).parse::<f64>().unwrap().to_bits(), 1e-7f64.to_bits());
    }
}
