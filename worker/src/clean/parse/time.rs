//! Reads texts as dates and datetimes, in a time zone if there is one.

use chrono::{DateTime, MappedLocalTime, TimeZone};
use chrono_tz::Tz;
use shardmill_common::misread::Misread;
use shardmill_common::rules::Cast;
use shardmill_common::schema::DataType;

use super::Parsed;
use super::format::{Format, FormatError, Moment};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The zone in which a time without an offset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    pub fn named(name: &str) -> Result<Zone, Misread> {
        let wanted = "not a time zone; use a name of the IANA database, such as Europe/Berlin or UTC";
        name.parse().map(Zone).map_err(|_| Misread::new(name, wanted))
    }

    /// Local microseconds as microseconds of UTC; `None` if there was no such time that day, or it came twice.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        if self.0 == Tz::UTC {
            return Some(local);
        }
        let naive = DateTime::from_timestamp_micros(local)?.naive_utc();
        match self.0.from_local_datetime(&naive) {
            MappedLocalTime::Single(instant) => Some(instant.timestamp_micros()),
            MappedLocalTime::Ambiguous(..) | MappedLocalTime::None => None,
        }
    }
}

/// Formats in the order they are tried, and the zone.
pub struct TimeReader {
    formats: Vec<Format>,
    zone: Option<Zone>,
    is_utc: bool,
}

/// What is read when no format is given.
const DATES: [&str; 1] = ["%Y-%m-%d"];
const DATETIMES: [&str; 5] =
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
const INSTANTS: [&str; 2] = ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M:%S%.f%z"];

/// Why times cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error(transparent)]
    Zone(#[from] Misread),
    #[error(transparent)]
    Format(#[from] FormatError),
}

impl TimeReader {
    pub fn compile(cast: &Cast) -> Result<TimeReader, TimeError> {
        let zone = cast.timezone.as_deref().map(Zone::named).transpose()?;
        let is_utc = cast.result() == DataType::DATETIME_UTC;
        let compile = |formats: &[&str]| formats.iter().map(|f| Format::compile(f)).collect::<Result<Vec<_>, _>>();
        let formats = if !cast.formats.is_empty() {
            cast.formats.iter().map(|f| Format::compile(f)).collect::<Result<_, _>>()?
        } else if cast.result() == DataType::Date {
            compile(&DATES)?
        } else {
            let mut formats = compile(&DATETIMES)?;
            if is_utc {
                formats.extend(compile(&INSTANTS)?);
            }
            formats
        };
        Ok(TimeReader { formats, zone, is_utc })
    }

    pub fn is_utc(&self) -> bool {
        self.is_utc
    }

    #[inline]
    fn read<T>(&self, text: &str, finish: impl Fn(Moment) -> Option<T>) -> Parsed<T> {
        let text = text.trim();
        if text.is_empty() {
            return Parsed::Missing;
        }
        match self.formats.iter().find_map(|format| format.read(text)) {
            Some(moment) => finish(moment).map_or(Parsed::Wrong, Parsed::Value),
            None => Parsed::Wrong,
        }
    }

    #[inline]
    pub fn date(&self, text: &str) -> Parsed<i32> {
        self.read(text, |moment| Some(moment.days))
    }

    #[inline]
    pub fn datetime(&self, text: &str) -> Parsed<i64> {
        self.read(text, |moment| {
            let local = i64::from(moment.days) * MICROS_PER_DAY + moment.micros;
            match (moment.offset, self.zone) {
                (Some(offset), _) => Some(local - i64::from(offset) * 1_000_000),
                (None, Some(zone)) => zone.to_utc(local),
                (None, None) => Some(local),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::rules::{CastError, CastTo};

    fn reader(formats: &[&str], timezone: Option<&str>) -> TimeReader {
        let cast = Cast {
            to: CastTo::Datetime,
            formats: formats.iter().map(|f| f.to_string()).collect(),
            timezone: timezone.map(str::to_owned),
            thousands: None,
            decimal: '.',
            currency: false,
            percent: false,
            accounting: false,
            on_error: CastError::Null,
        };
        TimeReader::compile(&cast).unwrap()
    }

    fn shown(reader: &TimeReader, text: &str) -> String {
        match reader.datetime(text) {
            Parsed::Value(us) => DateTime::from_timestamp_micros(us).unwrap().naive_utc().to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn formats_are_tried_in_order() {
        let reader = reader(&["%d/%m/%Y", "%m/%d/%Y"], None);
        assert!(!reader.is_utc());
        assert_eq!(shown(&reader, "02/03/2024"), "2024-03-02 00:00:00");
        assert_eq!(shown(&reader, " 02/13/2024 "), "2024-02-13 00:00:00");
        assert_eq!(shown(&reader, "13/13/2024"), "Wrong");
        assert_eq!(shown(&reader, ""), "Missing");
    }

    #[test]
    fn zones_shift_and_refuse_times_that_are_not_or_are_twice() {
        let reader = reader(&[], Some("Europe/Berlin"));
        assert!(reader.is_utc());
        assert_eq!(shown(&reader, "2024-01-01 12:00:00"), "2024-01-01 11:00:00");
        assert_eq!(shown(&reader, "2024-07-01T12:00"), "2024-07-01 10:00:00");
        assert_eq!(shown(&reader, "2024-03-31 02:30:00"), "Wrong", "skipped in spring");
        assert_eq!(shown(&reader, "2024-10-27 02:30:00"), "Wrong", "twice in autumn");
        assert_eq!(shown(&reader, "2024-10-27 02:30:00+02:00"), "2024-10-27 00:30:00", "an offset says which");
        assert!(Zone::named("Europe/Berln").unwrap_err().to_string().starts_with("`Europe/Berln` is not a time zone"));
    }
}
