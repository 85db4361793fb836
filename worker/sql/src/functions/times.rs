//! Reading and counting times.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType as ArrowType, IntervalMonthDayNano, IntervalUnit, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::kernel::{Call, Kernel};

const MICROS: ArrowType = ArrowType::Timestamp(TimeUnit::Microsecond, None);

pub fn functions() -> Vec<ScalarUDF> {
    let difference = Kernel {
        name: "date_diff",
        coerce: |types| match types {
            [_, _, _] => Ok(vec![ArrowType::Utf8View, MICROS, MICROS]),
            _ => plan_err!("DATE_DIFF is called as DATE_DIFF('day', from, to)"),
        },
        gives: |_| ArrowType::Int64,
        run: difference,
    };
    let strptime = Kernel {
        name: "strptime",
        coerce: |types| match types {
            [_, _] => Ok(vec![ArrowType::Utf8View; 2]),
            _ => plan_err!("STRPTIME is called as STRPTIME(text, '%Y-%m-%d')"),
        },
        gives: |_| MICROS,
        run: strptime,
    };
    let age = Kernel {
        name: "age",
        coerce: |types| match types {
            [_, _] => Ok(vec![MICROS, MICROS]),
            _ => plan_err!("AGE is called as AGE(to, from)"),
        },
        gives: |_| ArrowType::Interval(IntervalUnit::MonthDayNano),
        run: age,
    };
    [difference, strptime, age].map(ScalarUDF::from).into()
}

/// Text as a time by a format; without a time of day it is midnight.
fn strptime(call: &Call) -> Result<ArrayRef> {
    let [texts, formats] = &call.columns[..] else { return plan_err!("STRPTIME takes a text and a format") };
    let (texts, formats) = (texts.as_string_view(), formats.as_string_view());
    let read = |text: &str, format: &str| {
        let time = NaiveDateTime::parse_from_str(text, format);
        let midnight = || NaiveDate::parse_from_str(text, format).map(|day| day.and_time(NaiveTime::MIN));
        time.or_else(|_| midnight()).map(|time| time.and_utc().timestamp_micros()).map_err(|e| {
            DataFusionError::Execution(format!(
                "STRPTIME: `{}` is not of the format {format}: {e}",
                text.escape_debug()
            ))
        })
    };
    let made = texts.iter().zip(formats).map(|pair| match pair {
        (Some(text), Some(format)) => read(text, format).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(made.collect::<Result<TimestampMicrosecondArray>>()?))
}

/// The time from the second to the first in whole months, days and the rest.
fn age(call: &Call) -> Result<ArrayRef> {
    let [to, from] = &call.columns[..] else { return plan_err!("AGE takes two times") };
    let (to, from) = (to.as_primitive::<TimestampMicrosecondType>(), from.as_primitive::<TimestampMicrosecondType>());
    let moment = |micros: i64| {
        let time = DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc());
        time.ok_or_else(|| DataFusionError::Execution("AGE: a time is beyond the calendar".to_owned()))
    };
    let made = to.iter().zip(from).map(|pair| {
        let (Some(to), Some(from)) = pair else { return Ok(None) };
        let sign = if to < from { -1 } else { 1 };
        let (first, last) = (moment(from.min(to))?, moment(from.max(to))?);
        let all = (last.year() - first.year()) * 12 + last.month() as i32 - first.month() as i32;
        let after = |months: i32| first.checked_add_months(Months::new(months.unsigned_abs()));
        let months = if after(all).is_some_and(|then| then <= last) { all } else { all - 1 };
        let rest = after(months).map_or(TimeDelta::zero(), |then| last - then);
        let days = rest.num_days();
        let nanos = (rest - TimeDelta::days(days)).num_nanoseconds().unwrap_or(0);
        Ok(Some(IntervalMonthDayNano::new(sign * months, sign * days as i32, i64::from(sign) * nanos)))
    });
    Ok(Arc::new(made.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// How many borders of a unit lie between two times; of weeks, how many passed.
fn difference(call: &Call) -> Result<ArrayRef> {
    let [units, from, to] = &call.columns[..] else { return plan_err!("DATE_DIFF takes a unit and two times") };
    let units = units.as_string_view();
    let (from, to) = (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
    let made = units.iter().zip(from.iter().zip(to)).map(|row| match row {
        (Some(unit), (Some(from), Some(to))) => between(unit, from, to).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(made.collect::<Result<Int64Array>>()?))
}

fn between(unit: &str, from: i64, to: i64) -> Result<i64> {
    const DAY: i64 = 86_400_000_000;
    let steps = |size: i64| to.div_euclid(size) - from.div_euclid(size);
    let months = |micros: i64| {
        let time = DateTime::from_timestamp_micros(micros);
        time.map(|t| i64::from(t.year()) * 12 + i64::from(t.month0()))
            .ok_or_else(|| DataFusionError::Execution("DATE_DIFF: a time is beyond the calendar".to_owned()))
    };
    let by_months = |size: i64| Ok(months(to)?.div_euclid(size) - months(from)?.div_euclid(size));
    match unit.to_lowercase().trim_end_matches('s') {
        "microsecond" | "u" => Ok(to - from),
        "millisecond" | "m" => Ok(steps(1000)),
        "second" => Ok(steps(1_000_000)),
        "minute" => Ok(steps(60_000_000)),
        "hour" => Ok(steps(3_600_000_000)),
        "day" => Ok(steps(DAY)),
        // Whole weeks, as DuckDB has it.
        "week" => Ok((to - from) / (7 * DAY)),
        "month" => by_months(1),
        "quarter" => by_months(3),
        "year" => by_months(12),
        "decade" => by_months(120),
        other => plan_err!(
            "DATE_DIFF counts no `{other}`; it counts microsecond, millisecond, second, minute, hour, day, week, month, quarter, year, decade"
        ),
    }
}
