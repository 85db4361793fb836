//! Names for columns whose header has none, or has them twice.

use std::fmt;

use super::sniff::BodyShape;

/// The column of row names that spreadsheets and pandas write without a name.
const INDEX: &str = "index";

/// The columns of a source as they will be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// In the order of the text. `None`: passed over.
    pub columns: Vec<Option<String>>,
    pub mends: Vec<Mend>,
}

/// What was done to a header. Positions count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    Named {
        position: usize,
        name: String,
    },
    /// A column without a name is not read.
    LeftOut {
        position: usize,
    },
    Renamed {
        position: usize,
        from: String,
        to: String,
    },
    /// The header has one name less than the records have cells: the first column is that of row names.
    Shifted {
        name: String,
    },
    /// So many columns at the end have neither names nor values.
    Dropped {
        columns: usize,
    },
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mend::Named { position, name } => write!(f, "column {position} has no name in the header: it is `{name}`"),
            Mend::LeftOut { position } => write!(f, "column {position} has no name in the header: it is left out"),
            Mend::Renamed { position, from, to } => {
                write!(f, "column {position} is another `{from}` in the header: it is `{to}`")
            }
            Mend::Shifted { name } => {
                write!(f, "the header has one name less than the records have cells: their first is `{name}`")
            }
            Mend::Dropped { columns: 1 } => {
                f.write_str("the last column has neither a name nor values: it is left out")
            }
            Mend::Dropped { columns } => {
                write!(f, "the last {columns} columns have neither names nor values: they are left out")
            }
        }
    }
}

/// Gives every column a name of its own. `drop_unnamed`: those without one are passed over instead.
///
/// `short`: the header has one name less than the records have cells.
pub fn mend_names(mut names: Vec<String>, body: Option<&BodyShape>, short: bool, drop_unnamed: bool) -> Mended {
    let mut mends = Vec::new();
    let nothing_at = |column: usize| body.is_none_or(|b| b.empty.get(column).copied().unwrap_or(true));
    let mut dropped = 0;
    while names.len() > 1 && names.last().is_some_and(|n| n.trim().is_empty()) && nothing_at(names.len() - 1) {
        names.pop();
        dropped += 1;
    }
    if dropped > 0 {
        mends.push(Mend::Dropped { columns: dropped });
    }
    let shifted = short && dropped == 0;
    if shifted {
        names.insert(0, String::new());
    }
    let mut columns: Vec<Option<String>> = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let position = at + 1;
        if name.trim().is_empty() {
            if drop_unnamed {
                mends.push(Mend::LeftOut { position });
                columns.push(None);
                continue;
            }
            let usual = if at == 0 { INDEX.to_owned() } else { format!("column_{position}") };
            let name = unused(&usual, &names, &columns);
            mends.push(if shifted && at == 0 {
                Mend::Shifted { name: name.clone() }
            } else {
                Mend::Named { position, name: name.clone() }
            });
            columns.push(Some(name));
        } else if columns.iter().flatten().any(|known| known == name) {
            let to = numbered(name, &names, &columns);
            mends.push(Mend::Renamed { position, from: name.clone(), to: to.clone() });
            columns.push(Some(to));
        } else {
            columns.push(Some(name.clone()));
        }
    }
    Mended { columns, mends }
}

fn is_used(name: &str, names: &[String], columns: &[Option<String>]) -> bool {
    names.iter().any(|n| n == name) || columns.iter().flatten().any(|n| n == name)
}

fn unused(usual: &str, names: &[String], columns: &[Option<String>]) -> String {
    if is_used(usual, names, columns) { numbered(usual, names, columns) } else { usual.to_owned() }
}

/// `a_2`, or with the first number that is free.
fn numbered(name: &str, names: &[String], columns: &[Option<String>]) -> String {
    let mut number = 2_usize;
    loop {
        let other = format!("{name}_{number}");
        if !is_used(&other, names, columns) {
            return other;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(names: &[&str], body: Option<(usize, &[usize])>, drop_unnamed: bool) -> (Vec<String>, Vec<String>) {
        let names_len = names.len();
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let body =
            body.map(|(width, empty)| BodyShape { width, empty: (0..width).map(|c| empty.contains(&c)).collect() });
        let short = body.as_ref().is_some_and(|b| b.width == names_len + 1 && b.empty.last() == Some(&false));
        let Mended { columns, mends } = mend_names(names, body.as_ref(), short, drop_unnamed);
        let columns = columns.into_iter().map(|c| c.unwrap_or_else(|| "-".to_owned())).collect();
        (columns, mends.iter().map(Mend::to_string).collect())
    }

    #[test]
    fn a_sound_header_stays() {
        assert_eq!(
            mended(&["a", " b", "A"], Some((3, &[1])), false),
            (vec!["a".into(), " b".into(), "A".into()], vec![])
        );
    }

    #[test]
    fn names_for_those_without() {
        let (columns, mends) = mended(&["", "id", " ", "column_3"], Some((4, &[])), false);
        assert_eq!(columns, ["index", "id", "column_3_2", "column_3"]);
        assert!(mends[0].contains("`index`") && mends[1].contains("column 3"), "{mends:?}");
        assert_eq!(mended(&["", "id", "index"], None, false).0, ["index_2", "id", "index"]);
        assert_eq!(mended(&["", "id", " ", "z"], None, true).0, ["-", "id", "-", "z"]);
    }

    #[test]
    fn names_that_come_again() {
        assert_eq!(mended(&["a", "b", "a", "a_2", "a"], None, false).0, ["a", "b", "a_3", "a_2", "a_4"]);
    }

    #[test]
    fn columns_at_the_end_without_anything() {
        assert_eq!(mended(&["a", "b", "", ""], Some((4, &[2, 3])), false).0, ["a", "b"]);
        assert_eq!(mended(&["a", "b", "", ""], Some((4, &[3])), false).0, ["a", "b", "column_3"]);
        assert_eq!(mended(&["a", "b", ""], None, false).0, ["a", "b"]);
        // Rows that are one longer with nothing there are another matter.
        assert_eq!(mended(&["a", "b"], Some((3, &[2])), false).0, ["a", "b"]);
    }

    #[test]
    fn a_header_that_is_one_short() {
        let (columns, mends) = mended(&["mpg", "cyl"], Some((3, &[])), false);
        assert_eq!(columns, ["index", "mpg", "cyl"]);
        assert!(mends[0].contains("one name less"), "{mends:?}");
        assert_eq!(mended(&["mpg", "cyl"], Some((3, &[])), true).0, ["-", "mpg", "cyl"]);
    }
}
