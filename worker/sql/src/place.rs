//! Where in a statement a mistake is, shown to people: the line, and a mark under the place.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Span, Token, Tokenizer};

/// A line of a statement is shown up to so many characters.
const SHOWN: usize = 160;

/// The message with the statement's line and a mark under the place.
pub fn mark(message: &str, statement: &str, at: Location) -> String {
    let text = statement.lines().nth((at.line as usize).saturating_sub(1)).unwrap_or_default();
    if at.line == 0 {
        return message.to_owned();
    }
    let column = (at.column as usize).max(1);
    // A long line is shown from a little before the place.
    let from = if column > SHOWN * 3 / 4 { column - SHOWN / 2 } else { 0 };
    let shown: String =
        text.chars().skip(from).take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let (before, dots) = if from > 0 { ("…", 1) } else { ("", 0) };
    let indent = " ".repeat(column - 1 - from + dots);
    format!("{message} (line {}, column {column})\n  {before}{}\n  {indent}^", at.line, shown.trim_end())
}

/// The same at the start of a span; without a mark where the parser did not say where that is.
pub fn mark_span(message: &str, statement: &str, span: Span) -> String {
    mark(message, statement, span.start)
}

/// The same where a name stands in the statement, if it does.
pub fn mark_name(message: &str, name: &str, statement: &str) -> String {
    match offender(&format!("`{name}`"), statement) {
        Some((_, at)) => mark(message, statement, at),
        None => message.to_owned(),
    }
}

/// Takes the place out of a message of the parser, which ends with it.
pub fn parser_place(message: &str) -> Option<(&str, Location)> {
    let (text, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((text, Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
}

/// The first of the names in a message that stands in the statement, with its place.
pub fn offender(message: &str, statement: &str) -> Option<(String, Location)> {
    let tokens = Tokenizer::new(&GenericDialect {}, statement).tokenize_with_location().ok()?;
    quoted(message).find_map(|name| {
        let found = tokens.iter().find(|token| {
            matches!(&token.token, Token::Word(word) if word.value == name || word.value.eq_ignore_ascii_case(name) && word.quote_style.is_none())
        })?;
        Some((name.to_owned(), found.span.start))
    })
}

/// What stands in quotes in a message, in order.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    let mut rest = message;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(['"', '\'', '`'])?;
            let quote = rest[start..].chars().next()?;
            let inner = &rest[start + 1..];
            let end = inner.find(quote)?;
            let name = &inner[..end];
            rest = &inner[end + 1..];
            if !name.is_empty() {
                return Some(name);
            }
        }
    })
}

/// The first line of a text that says something.
pub fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stands_under_the_place() {
        let sql = "SELECT a,\n  größe, b FROM input";
        let shown = mark("there is no column `b`", sql, Location { line: 2, column: 10 });
        assert_eq!(shown, "there is no column `b` (line 2, column 10)\n    größe, b FROM input\n           ^");
        let long = format!("SELECT {}, nope FROM input", "a, ".repeat(200));
        let at = long.find("nope").unwrap();
        let shown = mark("x", &long, Location { line: 1, column: at as u64 + 1 });
        let (line, arrow) = shown.split_once('\n').unwrap().1.split_once('\n').unwrap();
        let column = arrow.chars().position(|c| c == '^').unwrap();
        assert!(line.chars().skip(column).collect::<String>().starts_with("nope"), "{shown}");
        assert_eq!(mark("x", sql, Location { line: 0, column: 0 }), "x");
    }

    #[test]
    fn places_and_names_are_found_in_messages() {
        let (text, at) = parser_place("Expected: ), found: EOF at Line: 1, Column: 15").unwrap();
        assert_eq!((text, at.line, at.column), ("Expected: ), found: EOF", 1, 15));
        assert_eq!(parser_place("something else"), None);
        let sql = "SELECT 'price' AS x, price FROM input";
        let (name, at) = offender("unable to find column \"price\"; valid columns: [\"x\"]", sql).unwrap();
        assert_eq!((name.as_str(), at.column), ("price", 22), "text in quotes is no name");
        assert!(offender("unsupported function 'foo'", sql).is_none());
    }
}
