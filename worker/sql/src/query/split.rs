//! Several statements in one text.

use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

/// The statements of a text that end with a semicolon, without it, and what comes behind the last of them; nothing, if those are
/// comments. Semicolons in quotes and comments end nothing.
pub fn split(text: &str) -> (Vec<String>, String) {
    let mut ends = Vec::new();
    let mut tokens = Vec::new();
    // A quote that is not closed goes on to the end of the text, which is then no whole statement.
    let whole = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location_into_buf(&mut tokens).is_ok();
    let mut blank = true;
    for token in &tokens {
        match &token.token {
            Token::SemiColon => {
                ends.extend(byte_at(text, token.span.start).map(|at| (at, blank)));
                blank = true;
            }
            Token::Whitespace(_) | Token::EOF => {}
            _ => blank = false,
        }
    }
    let mut statements = Vec::new();
    let mut from = 0;
    for (end, blank) in ends {
        if !blank {
            statements.extend(text.get(from..end).map(str::to_owned));
        }
        from = end + 1;
    }
    let rest = if whole && blank { "" } else { text.get(from..).unwrap_or_default() };
    (statements, rest.to_owned())
}

/// The byte at a line and column, both counted from 1 and in characters.
pub fn byte_at(text: &str, place: Location) -> Option<usize> {
    let (mut line, mut column) = (1, 1);
    for (at, c) in text.char_indices() {
        if (line, column) == (place.line, place.column) {
            return Some(at);
        }
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    ((line, column) == (place.line, place.column)).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements_and_not_those_in_quotes() {
        let parts = |text: &str| split(text);
        let of = |statements: &[&str], rest: &str| {
            (statements.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), rest.to_owned())
        };
        assert_eq!(parts("SELECT 1"), of(&[], "SELECT 1"));
        assert_eq!(
            parts("SELECT ';' AS \"a;b\"; SELECT é -- ;\n;x"),
            of(&["SELECT ';' AS \"a;b\"", " SELECT é -- ;\n"], "x")
        );
        assert_eq!(parts(";;SELECT 1;"), of(&["SELECT 1"], ""));
        assert_eq!(parts("SELECT 1; SELECT 'open;"), of(&["SELECT 1"], " SELECT 'open;"));
        assert_eq!(parts("SELECT 1; -- done\n /* all */"), of(&["SELECT 1"], ""));
    }
}
