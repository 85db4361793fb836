//! The journal's table of what was counted of endpoints.

use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use shardmill_common::endpoint::EndpointName;
use shardmill_common::time::Timestamp;
use shardmill_common::watch::{Every, Tally, Window};

use super::{JournalError, json, parse};
use crate::windows::WindowWrite;

/// Length in seconds, start, endpoint, variant, model version.
const WINDOWS: TableDefinition<'_, (u64, i64, &str, &str, &str), &[u8]> = TableDefinition::new("windows");

/// Makes the table, if there is none.
pub(super) fn make(tx: &WriteTransaction) -> Result<(), JournalError> {
    tx.open_table(WINDOWS)?;
    Ok(())
}

/// Makes a change.
pub(super) fn put(tx: &WriteTransaction, write: &WindowWrite) -> Result<(), JournalError> {
    let mut table = tx.open_table(WINDOWS)?;
    match write {
        WindowWrite::Add(window) => {
            let model = window.model.to_string();
            let key =
                (window.seconds, window.start.0, window.endpoint.as_str(), window.variant.as_str(), model.as_str());
            let mut tally: Tally =
                table.get(key)?.map(|v| parse("windows", key, v.value())).transpose()?.unwrap_or_default();
            tally.merge(&window.tally);
            table.insert(key, json(&tally)?.as_slice())?;
        }
        WindowWrite::Age { every, before } => {
            let seconds = every.seconds();
            table.retain_in((seconds, i64::MIN, "", "", "")..(seconds, before.0, "", "", ""), |_, _| false)?;
        }
    }
    Ok(())
}

/// Reads what was counted of endpoints. Holds the journal's file open.
pub struct WindowReader(Arc<Database>);

impl WindowReader {
    pub(super) fn new(db: Arc<Database>) -> Self {
        Self(db)
    }

    /// The windows of an endpoint, or of all, that begin at `since` or later, by their starts.
    pub fn read(
        &self,
        every: Every,
        since: Timestamp,
        endpoint: Option<&EndpointName>,
    ) -> Result<Vec<Window>, JournalError> {
        let table = self.0.begin_read()?.open_table(WINDOWS)?;
        let mut windows = Vec::new();
        for row in table.range((every.seconds(), since.0, "", "", "")..(every.seconds() + 1, i64::MIN, "", "", ""))? {
            let (key, value) = row?;
            let (seconds, start, name, variant, model) = key.value();
            if endpoint.is_some_and(|wanted| wanted.as_str() != name) {
                continue;
            }
            let damaged = |message: String| JournalError::Damaged {
                table: "windows",
                key: format!("{:?}", key.value()),
                message,
            };
            windows.push(Window {
                endpoint: name.parse().map_err(damaged)?,
                variant: variant.to_owned(),
                model: model.parse().map_err(damaged)?,
                start: Timestamp(start),
                seconds,
                tally: parse("windows", key.value(), value.value())?,
            });
        }
        Ok(windows)
    }
}
