//! Finding the records that a step fails on, by halving.

use std::ops::Range;

use shardmill_common::failure::Failure;

/// A record that a step fails on, and what it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Offender {
    pub unit: usize,
    pub reason: String,
}

/// Every one of `units` that `work` fails on by itself, if they are `most` at most. `why`: how it fails on all of them.
///
/// A failure that is no record's fault ends the search, as does one that needs several records at once.
pub fn offenders(
    units: usize,
    most: u64,
    why: Failure,
    work: &mut dyn FnMut(Range<usize>) -> Result<(), Failure>,
) -> Result<Vec<Offender>, Failure> {
    let mut found = Vec::new();
    // Ranges that are known to fail, the first ones on top.
    let mut failing = vec![(0..units, why)];
    while let Some((range, why)) = failing.pop() {
        let reason = blame(why)?;
        if range.len() <= 1 {
            found.push(Offender { unit: range.start, reason });
            if found.len() as u64 > most {
                return Ok(found);
            }
            continue;
        }
        let middle = range.start + range.len() / 2;
        let halves = [range.start..middle, middle..range.end].map(|half| (work(half.clone()).err(), half));
        if halves.iter().all(|(failure, _)| failure.is_none()) {
            return Err(Failure::bad_input(reason));
        }
        failing.extend(halves.into_iter().rev().filter_map(|(failure, half)| Some((half, failure?))));
    }
    Ok(found)
}

/// The first of `units` that `work` fails on by itself; `None` where it is none's fault alone.
pub fn first_offender(
    units: usize,
    work: &mut dyn FnMut(Range<usize>) -> Result<(), Failure>,
) -> Result<Option<Offender>, Failure> {
    let mut range = 0..units;
    let mut reason = None;
    while range.len() > 1 {
        let middle = range.start + range.len() / 2;
        let halves = [range.start..middle, middle..range.end];
        let mut next = None;
        for half in halves {
            if let Err(failure) = work(half.clone()) {
                reason = Some(blame(failure)?);
                next = Some(half);
                break;
            }
        }
        match next {
            Some(half) => range = half,
            None => return Ok(None),
        }
    }
    let reason = match reason {
        Some(reason) => reason,
        // There was only one to begin with.
        None => match work(range.clone()) {
            Err(failure) if !range.is_empty() => blame(failure)?,
            _ => return Ok(None),
        },
    };
    Ok(Some(Offender { unit: range.start, reason }))
}

/// What a record is to blame for; other failures are passed on.
fn blame(failure: Failure) -> Result<String, Failure> {
    match failure {
        Failure::BadInput { message } | Failure::ProgramFailed { message } => Ok(message),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing_on(bad: &[usize]) -> impl FnMut(Range<usize>) -> Result<(), Failure> {
        move |range| match bad.iter().find(|b| range.contains(b)) {
            Some(b) => Err(Failure::bad_input(format!("no {b}"))),
            None => Ok(()),
        }
    }

    #[test]
    fn every_bad_record_is_found_and_no_other() {
        for bad in [vec![0], vec![99], vec![3, 4, 50], (10..20).collect()] {
            let found = offenders(100, 50, Failure::bad_input("x"), &mut failing_on(&bad)).unwrap();
            assert_eq!(found.iter().map(|o| o.unit).collect::<Vec<_>>(), bad);
            assert!(found.iter().all(|o| o.reason == format!("no {}", o.unit) || o.unit == 0));
            let first = first_offender(100, &mut failing_on(&bad)).unwrap().unwrap();
            assert_eq!(first, Offender { unit: bad[0], reason: format!("no {}", bad[0]) });
        }
        let many = offenders(100, 2, Failure::bad_input("x"), &mut failing_on(&[1, 2, 3, 4])).unwrap();
        assert_eq!(many.len(), 3, "one more than may be is enough to know");
    }

    #[test]
    fn what_no_record_does_alone_is_told_as_it_is() {
        let mut together = |range: Range<usize>| {
            if range.contains(&2) && range.contains(&7) { Err(Failure::bad_input("2 and 7")) } else { Ok(()) }
        };
        let told = offenders(10, 5, Failure::bad_input("2 and 7"), &mut together).unwrap_err();
        assert_eq!(told, Failure::bad_input("2 and 7"));
        assert_eq!(first_offender(10, &mut together).unwrap(), None);
        let mut stopped = |_: Range<usize>| Err(Failure::Killed);
        assert_eq!(first_offender(10, &mut stopped), Err(Failure::Killed));
        assert_eq!(offenders(1, 5, Failure::Killed, &mut stopped).unwrap_err(), Failure::Killed);
        assert_eq!(first_offender(1, &mut failing_on(&[0])).unwrap().unwrap().unit, 0);
        assert_eq!(first_offender(0, &mut failing_on(&[0])).unwrap(), None);
    }
}
