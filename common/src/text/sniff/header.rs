//! Whether the first record names the columns.
//!
//! Every column says what it can: a word above values is a name; a value of the sort that stands below it is none. Numbers can be
//! names, too (years, places in a matrix), but then they mostly differ from what stands below them.

use super::kinds::Kind;
use super::measure::Row;

/// Records below the first that are looked at.
const LOOKED_AT: usize = 200;

pub fn find_header(rows: &[Row]) -> bool {
    let Some(first) = rows.first() else { return true };
    let body = rows.get(1..).unwrap_or_default();
    let body = body.get(..LOOKED_AT).unwrap_or(body);
    let kinds: Vec<Kind> = first.cells.iter().map(|cell| Kind::of(cell)).collect();
    if body.is_empty() {
        return !kinds.iter().all(|kind| kind.is_value() || *kind == Kind::Mark);
    }
    let (mut names, mut values) = (0_i64, 0_i64);
    for (at, kind) in kinds.iter().enumerate() {
        match evidence(*kind, at, first, body) {
            n @ 1.. => names += n,
            n => values -= n,
        }
    }
    // A corner without a name, above the names of rows.
    let corner = kinds.first() == Some(&Kind::Empty) && kinds.get(1..).unwrap_or_default().iter().any(|k| k.is_value());
    if corner && body.iter().any(|row| row.cells.first().is_some_and(|cell| !cell.trim().is_empty())) {
        names += 2 * kinds.len() as i64;
    }
    names >= values
}

/// How much a column speaks for a name in the first record; if negative, against.
fn evidence(kind: Kind, at: usize, first: &Row, body: &[Row]) -> i64 {
    let cells = || {
        body.iter().filter_map(|row| row.cells.get(at).map(|cell| (Kind::of(cell), row.quoted.get(at) == Some(&true))))
    };
    let below: Vec<(Kind, bool)> = cells().filter(|(kind, _)| !matches!(kind, Kind::Empty | Kind::Mark)).collect();
    if below.is_empty() {
        return 0;
    }
    let share = |is: &dyn Fn(Kind) -> bool| below.iter().filter(|(kind, _)| is(*kind)).count() * 10 / below.len();
    let of_values = share(&Kind::is_value);
    let quoted = first.quoted.get(at) == Some(&true);
    if quoted && kind.is_value() && below.iter().all(|(_, quoted)| !quoted) && of_values >= 9 {
        // Quotes stand around texts only: a number in them is a name.
        return 3;
    }
    match kind {
        Kind::Empty => 0,
        Kind::Mark => -2,
        Kind::Text => {
            if of_values >= 9 {
                2
            } else {
                0
            }
        }
        // A number above words names its column; anything else may well stand among them.
        Kind::Integer(_) | Kind::Fraction(_) if of_values <= 1 => 1,
        _ if of_values <= 1 => 0,
        Kind::Time | Kind::Boolean | Kind::Odd => {
            let alike = share(&|below| std::mem::discriminant(&below) == std::mem::discriminant(&kind)) >= 5;
            match (kind, alike) {
                (Kind::Time, true) => -3,
                (_, true) => -2,
                // Amounts and numbers meet in one column.
                (Kind::Odd, false) => -1,
                (_, false) => 2,
            }
        }
        Kind::Integer(number) => integer_evidence(number, &below, &share),
        Kind::Fraction(_) if share(&|below| matches!(below, Kind::Integer(_))) >= 9 => 1,
        Kind::Fraction(_) => -1,
    }
}

/// How many of ten cells are of a sort.
type Share<'a> = dyn Fn(&dyn Fn(Kind) -> bool) -> usize + 'a;

fn integer_evidence(number: i64, below: &[(Kind, bool)], share: &Share<'_>) -> i64 {
    let is_year = |n: i64| (1800..2200).contains(&n);
    if is_year(number) && share(&|kind| matches!(kind, Kind::Integer(n) if is_year(n))) <= 1 {
        return 2;
    }
    if share(&|kind| matches!(kind, Kind::Fraction(x) if x.fract() != 0.0)) >= 6 {
        return 1;
    }
    let largest = below.iter().filter_map(|(kind, _)| kind.number()).map(f64::abs).fold(0.0, f64::max);
    if share(&Kind::is_number) >= 9 && (number as f64).abs() > 10.0 * largest.max(1.0) {
        return 1;
    }
    -1
}
