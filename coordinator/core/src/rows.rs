//! Rows: what lasts of the core. A table is declared once, with the types of its keys and values and the version of its values;
//! every change of what lasts is a [`Write`] of encoded rows, which the journal keeps without knowing what they mean.
//!
//! A key is encoded so that the order of the bytes is the order of the keys. A value is a byte with its table's version, then
//! JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A table of typed rows.
pub trait Table: 'static {
    /// Its name in the journal.
    const NAME: &'static str;
    /// Raised when a value changes its meaning or its shape.
    const VERSION: u8;
    /// Whether somebody is told of its rows, so that they must be on disk first. What is lost of other rows in a crash costs
    /// work that is done again, never data.
    const PROMISED: bool = true;
    type Key: Key;
    type Value: Serialize + DeserializeOwned;

    /// The value of a row that an earlier version of the program wrote.
    fn convert(version: u8, _json: &[u8]) -> Result<Self::Value, RowError> {
        Err(RowError::Version { found: version, known: Self::VERSION })
    }
}

/// Why a row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("its key cannot be read")]
    Key,
    #[error("it is empty")]
    Empty,
    #[error("it has version {found}; this program reads version {known}")]
    Version { found: u8, known: u8 },
    /// The JSON's own words.
    #[error("{0}")]
    Value(String),
    #[error("its content does not have the digest that its key says")]
    Digest,
    #[error("this program does not know the table")]
    Table,
}

impl RowError {
    pub fn value(why: impl std::fmt::Display) -> Self {
        RowError::Value(why.to_string())
    }
}

/// A value that cannot be written as a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of `{table}` cannot be written: {why}")]
pub struct Unwritable {
    pub table: &'static str,
    pub why: String,
}

/// A part of a key.
pub trait Part: Sized {
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it off the front. `None`: that is no such part.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

/// A whole key: one part or several.
pub trait Key: Ord + Clone {
    fn put(&self, out: &mut Vec<u8>);
    fn take(bytes: &mut &[u8]) -> Option<Self>;

    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    fn decoded(mut bytes: &[u8]) -> Option<Self> {
        let key = Self::take(&mut bytes)?;
        bytes.is_empty().then_some(key)
    }
}

impl<P: Part + Ord + Clone> Key for P {
    fn put(&self, out: &mut Vec<u8>) {
        Part::put(self, out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        <P as Part>::take(bytes)
    }
}

macro_rules! keys {
    ($(($($part:ident),+))+) => {$(
        #[expect(non_snake_case, reason = "a part is called after its type")]
        impl<$($part: Part + Ord + Clone),+> Key for ($($part,)+) {
            fn put(&self, out: &mut Vec<u8>) {
                let ($($part,)+) = self;
                $(Part::put($part, out);)+
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(($(<$part as Part>::take(bytes)?,)+))
            }
        }
    )+};
}

keys! { (A, B) (A, B, C) (A, B, C, D, E, F) }

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Part for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (number, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_be_bytes(*number))
            }
        }
    )+};
}

numbers! { u32, u64 }

impl Part for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        // With the sign turned round, negative numbers come before the others.
        Part::put(&((*self as u64) ^ (1 << 63)), out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some((<u64 as Part>::take(bytes)? ^ (1 << 63)) as i64)
    }
}

/// Text ends with a zero, which none of it contains.
impl Part for String {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.bytes().filter(|b| *b != 0));
        out.push(0);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|b| *b == 0)?;
        let (text, rest) = bytes.split_at(end);
        *bytes = rest.get(1..)?;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// One change of what lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put {
        table: &'static str,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Remove {
        table: &'static str,
        key: Vec<u8>,
    },
    /// Removes every key in `from..to`.
    RemoveRange {
        table: &'static str,
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

/// The first bytes after all that begin with these.
pub fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

/// A value as a row has it.
pub fn encode<T: Table>(value: &impl Serialize) -> Result<Vec<u8>, Unwritable> {
    let mut bytes = vec![T::VERSION];
    let written = serde_json::to_writer(&mut bytes, value);
    written.map_err(|e| Unwritable { table: T::NAME, why: e.to_string() })?;
    Ok(bytes)
}

/// The value of a row, whichever version wrote it.
pub fn decode<T: Table>(bytes: &[u8]) -> Result<T::Value, RowError> {
    match bytes.split_first() {
        None => Err(RowError::Empty),
        Some((version, json)) if *version == T::VERSION => serde_json::from_slice(json).map_err(RowError::value),
        Some((version, json)) => T::convert(*version, json),
    }
}

/// The changes of a step, in order.
#[derive(Debug, Default)]
pub struct Ledger {
    pub writes: Vec<Write>,
    /// Whether somebody is told of one of them.
    pub promised: bool,
    /// A value that cannot be encoded: nothing of the step may be told.
    pub broken: Option<Unwritable>,
}

impl Ledger {
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) {
        self.put_as::<T>(key, value);
    }

    /// Puts a row whose value is at hand in parts: `value` must encode as the table's type does.
    pub fn put_as<T: Table>(&mut self, key: &T::Key, value: &impl Serialize) {
        self.promised |= T::PROMISED;
        match encode::<T>(value) {
            Ok(value) => self.writes.push(Write::Put { table: T::NAME, key: key.encoded(), value }),
            Err(why) => self.broken = Some(why),
        }
    }

    pub fn remove<T: Table>(&mut self, key: &T::Key) {
        self.promised |= T::PROMISED;
        self.writes.push(Write::Remove { table: T::NAME, key: key.encoded() });
    }

    /// Removes all rows whose keys begin with `prefix`.
    pub fn remove_all<T: Table>(&mut self, prefix: &impl Key) {
        let from = prefix.encoded();
        self.remove_range::<T>(from.clone(), after(from));
    }

    /// Removes all rows whose encoded keys are in `from..to`.
    pub fn remove_range<T: Table>(&mut self, from: Vec<u8>, to: Vec<u8>) {
        self.promised |= T::PROMISED;
        self.writes.push(Write::RemoveRange { table: T::NAME, from, to });
    }

    /// Adds the changes of another one, which come after these.
    pub fn append(&mut self, other: &mut Ledger) {
        self.writes.append(&mut other.writes);
        self.promised |= std::mem::take(&mut other.promised);
        self.broken = self.broken.take().or(other.broken.take());
    }
}

/// A table that is in memory whole. What is there is what its rows are.
#[derive(Debug)]
pub struct Kept<T: Table> {
    rows: BTreeMap<T::Key, T::Value>,
}

impl<T: Table> Default for Kept<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<T: Table> Kept<T> {
    pub fn get(&self, key: &T::Key) -> Option<&T::Value> {
        self.rows.get(key)
    }

    pub fn contains(&self, key: &T::Key) -> bool {
        self.rows.contains_key(key)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&T::Key, &T::Value)> {
        self.rows.iter()
    }

    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T::Value> {
        self.rows.values()
    }

    pub fn range(
        &self,
        range: impl std::ops::RangeBounds<T::Key>,
    ) -> impl DoubleEndedIterator<Item = (&T::Key, &T::Value)> {
        self.rows.range(range)
    }

    pub fn put(&mut self, ledger: &mut Ledger, key: T::Key, value: T::Value) {
        ledger.put::<T>(&key, &value);
        self.rows.insert(key, value);
    }

    pub fn remove(&mut self, ledger: &mut Ledger, key: &T::Key) -> Option<T::Value> {
        let removed = self.rows.remove(key)?;
        ledger.remove::<T>(key);
        Some(removed)
    }

    /// Takes a row of the journal.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), RowError> {
        let key = T::Key::decoded(key).ok_or(RowError::Key)?;
        self.rows.insert(key, decode::<T>(value)?);
        Ok(())
    }

    /// What its rows would be, were they written now.
    pub(crate) fn dump(&self, rows: &mut Ledger) {
        for (key, value) in &self.rows {
            rows.put::<T>(key, value);
        }
    }
}

/// A row of a table.
pub type Row<T> = (<T as Table>::Key, <T as Table>::Value);

/// Rows by table and key: what a journal holds, for tests, the simulation, and the check that memory is what replay gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    rows: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
}

impl Store {
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Put { table, key, value } => {
                self.rows.insert((table, key.clone()), value.clone());
            }
            Write::Remove { table, key } => {
                self.rows.remove(&(*table, key.clone()));
            }
            Write::RemoveRange { table, from, to } => {
                let range = (*table, from.clone())..(*table, to.clone());
                let gone: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| drop(self.rows.remove(key)));
            }
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &[u8], &[u8])> {
        self.rows.iter().map(|((table, key), value)| (*table, key.as_slice(), value.as_slice()))
    }

    /// The values of one table, in the order of their keys.
    pub fn table<T: Table>(&self) -> Result<Vec<Row<T>>, RowError> {
        let rows = self.rows().filter(|(table, _, _)| *table == T::NAME);
        rows.map(|(_, key, value)| Ok((T::Key::decoded(key).ok_or(RowError::Key)?, decode::<T>(value)?))).collect()
    }

    /// Without the tables that are not in memory.
    pub fn only(&self, tables: &[&str]) -> Store {
        let rows = self.rows.iter().filter(|((table, _), _)| tables.contains(table));
        Store { rows: rows.map(|(key, value)| (key.clone(), value.clone())).collect() }
    }

    /// The first row in which two stores differ, for a message.
    pub fn difference(&self, other: &Store) -> Option<String> {
        let keys = self.rows.keys().chain(other.rows.keys());
        let different = keys.into_iter().find(|key| self.rows.get(*key) != other.rows.get(*key))?;
        let shown = |store: &Store| match store.rows.get(different) {
            Some(value) => String::from_utf8_lossy(value).chars().take(2000).collect(),
            None => "nothing".to_owned(),
        };
        Some(format!("`{}` {:?}: {} and {}", different.0, different.1, shown(self), shown(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Points;

    impl Table for Points {
        const NAME: &'static str = "points";
        const VERSION: u8 = 2;
        type Key = (String, i64, u32);
        type Value = (f64, f64);

        fn convert(version: u8, json: &[u8]) -> Result<(f64, f64), RowError> {
            match version {
                1 => serde_json::from_slice(json).map(|x: f64| (x, 0.0)).map_err(RowError::value),
                found => Err(RowError::Version { found, known: 2 }),
            }
        }
    }

    #[test]
    fn keys_keep_their_order_and_come_back() {
        let mut keys: Vec<(String, i64, u32)> = Vec::new();
        for text in ["", "a", "a-b", "ab", "b"] {
            for number in [i64::MIN, -1, 0, 1, i64::MAX] {
                keys.extend([0, 1, 256, u32::MAX].map(|last| (text.to_owned(), number, last)));
            }
        }
        let encoded: Vec<Vec<u8>> = keys.iter().map(Key::encoded).collect();
        assert!(encoded.is_sorted());
        assert!(encoded.iter().zip(&keys).all(|(bytes, key)| Key::decoded(bytes).as_ref() == Some(key)));
        assert_eq!(<(String, i64, u32)>::decoded(b"a\0short"), None);
        assert_eq!(u32::decoded(&[0, 0, 0, 1, 9]), None, "bytes are left over");
    }

    #[test]
    fn a_prefix_takes_what_begins_with_it_and_nothing_else() {
        let mut ledger = Ledger::default();
        for name in ["a", "b", "ba", "c"] {
            ledger.put::<Points>(&(name.into(), 1, 1), &(1.0, 2.0));
        }
        ledger.remove_all::<Points>(&"b".to_owned());
        let mut store = Store::default();
        ledger.writes.iter().for_each(|w| store.apply(w));
        let names: Vec<String> = store.table::<Points>().unwrap().into_iter().map(|(key, _)| key.0).collect();
        assert_eq!(names, ["a", "ba", "c"]);
        assert_eq!(after(vec![1, 255, 255]), [2]);
    }

    #[test]
    fn earlier_versions_are_converted_and_unknown_ones_refused() {
        assert!(matches!(decode::<Points>(b"\x01["), Err(RowError::Value(_))));
        assert_eq!(decode::<Points>(b"\x013.5"), Ok((3.5, 0.0)));
        assert_eq!(decode::<Points>(b"\x02[1.0,2.0]"), Ok((1.0, 2.0)));
        assert_eq!(decode::<Points>(b"\x07{}"), Err(RowError::Version { found: 7, known: 2 }));
        assert_eq!(decode::<Points>(b""), Err(RowError::Empty));
    }

    #[test]
    fn what_is_kept_is_what_its_rows_say() {
        let (mut kept, mut ledger, mut store) = (Kept::<Points>::default(), Ledger::default(), Store::default());
        kept.put(&mut ledger, ("a".into(), 1, 1), (1.0, 1.0));
        kept.put(&mut ledger, ("b".into(), 1, 1), (2.0, 2.0));
        kept.put(&mut ledger, ("a".into(), 1, 1), (3.0, 3.0));
        kept.remove(&mut ledger, &("b".into(), 1, 1));
        ledger.writes.iter().for_each(|w| store.apply(w));
        let (mut dumped, mut again) = (Ledger::default(), Store::default());
        kept.dump(&mut dumped);
        dumped.writes.iter().for_each(|w| again.apply(w));
        assert_eq!(store.difference(&again), None);
        let mut replayed = Kept::<Points>::default();
        for (_, key, value) in store.rows() {
            replayed.load(key, value).unwrap();
        }
        assert_eq!(replayed.get(&("a".into(), 1, 1)), Some(&(3.0, 3.0)));
        assert!(replayed.load(b"a", b"\x02[1.0,2.0]").is_err());
    }
}
