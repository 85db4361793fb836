//! Lists of names, as options have them: between commas, and in double quotes where a name itself has a comma or another mark.

/// What stands between commas that are neither in quotes nor in brackets, as those of `decimal(10,2)` are.
pub fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = marks(rest, ',').next() {
        parts.extend(rest.get(..at));
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// What stands before and behind the first such mark that is not in quotes.
pub fn split_once(text: &str, mark: char) -> Option<(&str, &str)> {
    let at = marks(text, mark).next()?;
    Some((text.get(..at)?, text.get(at + mark.len_utf8()..)?))
}

/// What stands before and behind the last such mark that is not in quotes.
pub fn rsplit_once(text: &str, mark: char) -> Option<(&str, &str)> {
    let at = marks(text, mark).last()?;
    Some((text.get(..at)?, text.get(at + mark.len_utf8()..)?))
}

/// The places of a mark outside of quotes and brackets. A quote within a name, and a quote or bracket that nothing closes, are
/// characters like others.
fn marks(text: &str, mark: char) -> impl Iterator<Item = usize> {
    let (mut quoted, mut depth, mut before) = (false, 0_u32, ',');
    text.char_indices().filter_map(move |(at, c)| {
        let closed = |by| text.get(at + 1..).is_some_and(|rest| rest.contains(by));
        // What follows a closing quote is the second of two, which stand for one.
        let begins = matches!(std::mem::replace(&mut before, c), ',' | ' ' | '=' | ':' | '(' | '"');
        match c {
            '"' if quoted || begins && closed('"') => quoted = !quoted,
            '(' if !quoted && closed(')') => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        (c == mark && !quoted && depth == 0).then_some(at)
    })
}

/// A name without blanks around it, and without its quotes, in which a doubled quote is one.
pub fn name(part: &str) -> String {
    let part = part.trim();
    match part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) if part.len() > 1 => inner.replace("\"\"", "\""),
        _ => part.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_part_names_but_in_quotes() {
        let names = |text: &str| parts(text).into_iter().map(name).collect::<Vec<_>>();
        assert_eq!(names("a, b"), ["a", "b"]);
        assert_eq!(names("\"total, net\",größe"), ["total, net", "größe"]);
        assert_eq!(names("\"say \"\"hi\"\", you\""), ["say \"hi\", you"]);
        assert_eq!(names("\" x\", y "), [" x", "y"]);
        assert_eq!(names("5\" disk,b"), ["5\" disk", "b"]);
        assert_eq!(names("5\" disk,3\" disk"), ["5\" disk", "3\" disk"]);
        assert_eq!(parts("a=\"b,c\",d"), ["a=\"b,c\"", "d"]);
        assert_eq!(names("a,,b"), ["a", "", "b"]);
        assert_eq!(names("\""), ["\""]);
        assert_eq!(names("a=decimal(10,2),b,c (x, y),(d,e"), ["a=decimal(10,2)", "b", "c (x, y)", "(d", "e"]);
    }

    #[test]
    fn marks_in_quotes_are_passed_over() {
        assert_eq!(split_once("\"a=b\"=c", '='), Some(("\"a=b\"", "c")));
        assert_eq!(rsplit_once("a=b=c", '='), Some(("a=b", "c")));
        assert_eq!(split_once("a", '='), None);
        assert_eq!(split_once("\"a=b\"", '='), None);
    }
}
