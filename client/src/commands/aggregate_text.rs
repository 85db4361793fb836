//! Reading what an aggregate is to compute: `n=count(), mean_amount=mean(amount), p95=quantile(amount, 0.95)`.
//!
//! Names that hold a comma, a bracket or an equals sign are written in double quotes or backticks.

use shardmill_common::kinds::aggregate::{Aggregate, Function};

const FUNCTIONS: &str = "count, sum, mean, min, max, variance, stddev, median, quantile, distinct, approx_distinct";

/// Everything in the text; a mistake is told with its place marked.
pub fn parse(text: &str) -> Result<Vec<Aggregate>, String> {
    let mut reader = Reader { text, at: 0 };
    let mut all = Vec::new();
    loop {
        all.push(reader.aggregate()?);
        match reader.next_mark() {
            None => return Ok(all),
            Some((_, ',')) => {}
            Some((at, other)) => {
                return Err(reader.wrong(at, &format!("a comma or the end is expected, not `{other}`")));
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
}

impl Reader<'_> {
    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    /// The next character that is not blank, with its place.
    fn next_mark(&mut self) -> Option<(usize, char)> {
        self.skip_blanks();
        let at = self.at;
        let mark = self.text[at..].chars().next()?;
        self.at += mark.len_utf8();
        Some((at, mark))
    }

    fn expect(&mut self, wanted: char, what: &str) -> Result<(), String> {
        let before = self.at;
        match self.next_mark() {
            Some((_, mark)) if mark == wanted => Ok(()),
            Some((at, _)) => Err(self.wrong(at, what)),
            None => Err(self.wrong(before.max(self.text.trim_end().len()), what)),
        }
    }

    /// A name, in quotes or up to one of the characters that mean something here.
    fn word(&mut self) -> Result<(usize, String), String> {
        self.skip_blanks();
        let from = self.at;
        let rest = &self.text[from..];
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '`')) {
            let Some(length) = rest[1..].find(quote) else {
                return Err(self.wrong(from, "this quote is not closed"));
            };
            self.at += length + 2;
            return Ok((from, rest[1..=length].to_owned()));
        }
        let length = rest.find([',', '(', ')', '=', '"', '`']).unwrap_or(rest.len());
        self.at += length;
        Ok((from, rest[..length].trim().to_owned()))
    }

    fn aggregate(&mut self) -> Result<Aggregate, String> {
        let (at, name) = self.word()?;
        if name.is_empty() {
            return Err(self.wrong(at, "a name is expected: NAME=FUNCTION(COLUMN)"));
        }
        self.expect('=', "`=` is expected after the name of the result's column: NAME=FUNCTION(COLUMN)")?;
        let (at, function) = self.word()?;
        let function_at = at;
        let shares = match function.as_str() {
            "median" => Some(0.5),
            _ => None,
        };
        let function = match function.as_str() {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "mean" => Function::Mean,
            "min" => Function::Min,
            "max" => Function::Max,
            "variance" => Function::Variance,
            "stddev" => Function::StdDev,
            "distinct" => Function::Distinct,
            "approx_distinct" => Function::ApproxDistinct,
            "median" | "quantile" => Function::Quantile(0.5),
            "" => return Err(self.wrong(at, &format!("a function is expected: {FUNCTIONS}"))),
            other => return Err(self.wrong(at, &format!("`{other}` is no function; there are {FUNCTIONS}"))),
        };
        self.expect('(', "`(` is expected after the function")?;
        let (column_at, column) = self.word()?;
        let column = Some(column).filter(|c| !c.is_empty());
        if column.is_none() && function != Function::Count {
            return Err(self.wrong(column_at, "the name of a column is expected"));
        }
        let function = match function {
            Function::Quantile(_) => Function::Quantile(match shares {
                Some(share) => share,
                None => self.share(function_at)?,
            }),
            other => other,
        };
        self.expect(')', "`)` is expected: a name that holds a comma, a bracket or `=` is written in quotes")?;
        Ok(Aggregate { name, function, column })
    }

    /// `, 0.95`
    fn share(&mut self, function_at: usize) -> Result<f64, String> {
        let missing = "a quantile needs its share, such as quantile(amount, 0.95)";
        self.skip_blanks();
        if !self.text[self.at..].starts_with(',') {
            return Err(self.wrong(function_at, missing));
        }
        self.at += 1;
        let (at, text) = self.word()?;
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(self.wrong(at, "a number from 0 to 1 is expected, such as 0.95")),
        }
    }

    /// A mistake, with the text below it and a mark under the place.
    fn wrong(&self, at: usize, message: &str) -> String {
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let blanks = self.text.get(..at).map_or(0, |before| before.chars().count());
        format!("{message}\n  {shown}\n  {}^", " ".repeat(blanks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_names_and_columns_are_read() {
        let text = r#"n=count(), m = mean( amount ),p95=quantile(amount , 0.95), med=median(x),"a, b"=max("c(d)"), `q`=sum(two words)"#;
        let all = parse(text).unwrap();
        let shown: Vec<String> = all
            .iter()
            .map(|a| format!("{}|{}|{}", a.name, a.function.name(), a.column.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            shown,
            ["n|count|-", "m|mean|amount", "p95|quantile|amount", "med|quantile|x", "a, b|max|c(d)", "q|sum|two words"]
        );
        assert_eq!((all[2].function, all[3].function), (Function::Quantile(0.95), Function::Quantile(0.5)));
        for name in FUNCTIONS.split(", ") {
            let share = if name == "quantile" { ", 1" } else { "" };
            assert!(parse(&format!("x={name}(größe{share})")).is_ok(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_marked() {
        for (text, said, mark) in [
            ("", "a name is expected", 0),
            ("n=count(),", "a name is expected", 10),
            ("count()", "`=` is expected", 5),
            ("n", "`=` is expected", 1),
            ("n=", "a function is expected: count, sum", 2),
            ("größe=cont()", "`cont` is no function; there are count", 6),
            ("n=count", "`(` is expected", 7),
            ("n=count, m=mean(x)", "`(` is expected", 7),
            ("n=sum()", "the name of a column is expected", 6),
            ("n=sum(x", "`)` is expected", 7),
            ("n=sum(x, y)", "`)` is expected", 7),
            ("n=sum(x) m=sum(y)", "a comma or the end is expected, not `m`", 9),
            ("n=quantile(x)", "needs its share", 2),
            ("n=quantile(x, 95)", "a number from 0 to 1", 14),
            ("n=quantile(x, NaN)", "a number from 0 to 1", 14),
            ("n=sum(\"x)", "this quote is not closed", 6),
        ] {
            let error = parse(text).unwrap_err();
            let lines: Vec<&str> = error.lines().collect();
            assert!(lines[0].contains(said), "{text}: {error}");
            assert_eq!(lines[1].trim_start(), text, "{error}");
            assert_eq!(lines[2].find('^'), Some(mark + 2), "{error}");
        }
    }
}
