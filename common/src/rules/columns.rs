//! Which columns a rule acts on: names, globs, or every column that it can act on.

use serde::{Deserialize, Serialize};

use super::error::ColumnsError;

/// The `columns` of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// Left out: every column that the operation can apply to.
    Applicable,
    /// Exact names, and globs in which `*` stands for any characters.
    Listed(Vec<String>),
}

/// A column that was asked for, and whether by its exact name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub index: usize,
    pub by_name: bool,
}

impl Columns {
    /// The places of the columns asked for among `names`, in the order of `names`.
    pub(super) fn find(&self, names: &[&str]) -> Result<Vec<Asked>, ColumnsError> {
        let Columns::Listed(patterns) = self else {
            return Ok((0..names.len()).map(|index| Asked { index, by_name: false }).collect());
        };
        let mut found: Vec<Option<bool>> = vec![None; names.len()];
        for pattern in patterns {
            if let Some(index) = names.iter().position(|name| name == pattern) {
                found[index] = Some(true);
            } else if pattern.contains('*') {
                let mut any = false;
                for (slot, name) in found.iter_mut().zip(names) {
                    if glob_matches(pattern, name) {
                        any = true;
                        slot.get_or_insert(false);
                    }
                }
                if !any {
                    return Err(ColumnsError::NoMatch { pattern: pattern.clone(), there: owned(names) });
                }
            } else {
                return Err(no_column(pattern, names));
            }
        }
        Ok(found
            .into_iter()
            .enumerate()
            .filter_map(|(index, by_name)| by_name.map(|by_name| Asked { index, by_name }))
            .collect())
    }
}

/// Of a column that is not there: what it is called, and what there is.
pub(super) fn no_column(name: &str, names: &[&str]) -> ColumnsError {
    ColumnsError::NoColumn { name: name.to_owned(), hint: did_you_mean(name, names), there: owned(names) }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether `name` matches `pattern`, in which `*` stands for any characters.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// ` (did you mean `x`?)` where one of `known` is close to `word`, otherwise nothing.
pub(super) fn did_you_mean(word: &str, known: &[&str]) -> String {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|k| (distance(&word, &k.to_lowercase()), k))
        .filter(|(d, k)| *d <= 1.max(k.chars().count().min(word.chars().count()) / 3))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| format!(" (did you mean `{k}`?)"))
        .unwrap_or_default()
}

/// Edits that turn `a` into `b`; two neighbours in the wrong order are one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, yes) in [
            ("*", "", true),
            ("addr_*", "addr_city", true),
            ("addr_*", "my_addr_city", false),
            ("*_at", "seen_at", true),
            ("*_at", "seen_ats", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob_matches(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn columns_come_in_the_order_of_the_data() {
        let names = ["id", "addr_a", "addr_b", "x*"];
        let ask = |p: &[&str]| Columns::Listed(p.iter().map(|s| s.to_string()).collect()).find(&names);
        let at = |index, by_name| Asked { index, by_name };
        assert_eq!(ask(&["addr_*", "id", "addr_b"]), Ok(vec![at(0, true), at(1, false), at(2, true)]));
        assert_eq!(ask(&["x*"]), Ok(vec![at(3, true)]), "an exact name comes before a glob");
        let told = |p: &[&str]| ask(p).unwrap_err().to_string();
        assert_eq!(told(&["z*"]), "no column matches `z*`; the columns are id, addr_a, addr_b, x*");
        assert_eq!(
            told(&["adr_a"]),
            "there is no column `adr_a` (did you mean `addr_a`?); the columns are id, addr_a, addr_b, x*"
        );
        assert_eq!(Columns::Applicable.find(&names).unwrap().len(), 4);
    }

    #[test]
    fn near_words_are_offered() {
        assert_eq!(did_you_mean("tirm", &["case", "trim"]), " (did you mean `trim`?)");
        assert_eq!(did_you_mean("explode", &["case", "trim"]), "");
    }
}
