//! What many tasks share: a schema, rules, a model. It is in memory once, lies in the journal once and is sent to each worker once;
//! in a task as it is written stands only the digest of its content.
//!
//! Writing a task with [`collecting`] also gives the parts that it names. Reading one takes a [`Shelf`] that has them
//! ([`Shelf::reading`]): all tasks that name a part then have the same value.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use crate::misread::{Misread, kept_as_text};

/// Of a part's JSON: xxh3-128, in hex where it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Misread;
    fn from_str(text: &str) -> Result<Self, Misread> {
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
        number.map(Digest).ok_or_else(|| Misread::new(text, "not a digest"))
    }
}

kept_as_text!(Digest);

/// A shared value as it lies in the journal and is sent.
#[derive(Clone, Debug)]
pub struct Part {
    pub digest: Digest,
    pub json: Arc<RawValue>,
}

impl Part {
    pub fn new(json: Box<RawValue>) -> Self {
        Self { digest: Digest(xxh3_128(json.get().as_bytes())), json: json.into() }
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

struct Content<T> {
    value: T,
    /// Why it cannot be written is told when somebody writes it.
    part: Result<Part, Arc<serde_json::Error>>,
}

/// A value that many tasks share. It names no other shared value: those would not be collected with it.
pub struct Shared<T>(Arc<Content<T>>);

impl<T: Serialize> Shared<T> {
    pub fn new(value: T) -> Self {
        let part = serde_json::value::to_raw_value(&value).map(Part::new).map_err(Arc::new);
        Self(Arc::new(Content { value, part }))
    }
}

impl<T: Serialize + Default> Default for Shared<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Serialize> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Shared<T> {
    /// What it is where it is written, or why it cannot be.
    pub fn part(&self) -> Result<&Part, &Arc<serde_json::Error>> {
        self.0.part.as_ref()
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<'a, T> IntoIterator for &'a Shared<Vec<T>> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || matches!((self.part(), other.part()), (Ok(mine), Ok(theirs)) if mine.digest == theirs.digest)
    }
}

thread_local! {
    static COLLECTED: RefCell<Option<BTreeMap<Digest, Part>>> = const { RefCell::new(None) };
    static SHELF: RefCell<Option<Shelf>> = const { RefCell::new(None) };
}

/// What `write` gives, and the parts that are named in what it writes.
pub fn collecting<R>(write: impl FnOnce() -> R) -> (R, Vec<Part>) {
    let before = COLLECTED.replace(Some(BTreeMap::new()));
    let written = write();
    let parts = COLLECTED.replace(before).unwrap_or_default();
    (written, parts.into_values().collect())
}

impl<T> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let part = self.part().map_err(S::Error::custom)?;
        COLLECTED.with_borrow_mut(|all| {
            if let Some(all) = all
                && !all.contains_key(&part.digest)
            {
                all.insert(part.digest, part.clone());
            }
        });
        part.digest.serialize(to)
    }
}

impl<'de, T: DeserializeOwned + Send + Sync + 'static> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let digest = Digest::deserialize(from)?;
        SHELF.with_borrow(|shelf| match shelf {
            Some(shelf) => shelf.get(digest).map_err(D::Error::custom),
            None => Err(D::Error::custom(PartFault::NoShelf(digest))),
        })
    }
}

/// Why what names a part cannot be read.
#[derive(Debug, thiserror::Error)]
enum PartFault {
    #[error("the part {0} is not at hand")]
    NotAtHand(Digest),
    #[error("the part {0} is read where no parts are at hand")]
    NoShelf(Digest),
    #[error("the part {digest} cannot be read: {error}")]
    Unreadable { digest: Digest, error: serde_json::Error },
}

/// A part with what was made of it, by type.
struct Slot {
    part: Part,
    values: Vec<Arc<dyn Any + Send + Sync>>,
}

/// Parts at hand. Clones are one shelf.
#[derive(Clone, Default)]
pub struct Shelf(Arc<Mutex<BTreeMap<Digest, Slot>>>);

impl Shelf {
    fn slots(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let shelf = Self::default();
        parts.into_iter().for_each(|part| shelf.put(part));
        shelf
    }

    pub fn put(&self, part: Part) {
        self.slots().entry(part.digest).or_insert_with(|| Slot { part, values: Vec::new() });
    }

    /// What was read with it stays as it is.
    pub fn remove(&self, digest: Digest) {
        self.slots().remove(&digest);
    }

    pub fn is_empty(&self) -> bool {
        self.slots().is_empty()
    }

    /// Reads something that names parts of this shelf.
    pub fn reading<R>(&self, read: impl FnOnce() -> R) -> R {
        let before = SHELF.replace(Some(self.clone()));
        let read = read();
        SHELF.set(before);
        read
    }

    fn get<T: DeserializeOwned + Send + Sync + 'static>(&self, digest: Digest) -> Result<Shared<T>, PartFault> {
        let known = |slot: &Slot| slot.values.iter().find_map(|v| v.clone().downcast::<Content<T>>().ok()).map(Shared);
        let part = match self.slots().get(&digest) {
            None => return Err(PartFault::NotAtHand(digest)),
            Some(slot) => match known(slot) {
                Some(value) => return Ok(value),
                None => slot.part.clone(),
            },
        };
        // Without the lock: a model takes a while.
        let value = serde_json::from_str(part.json.get()).map_err(|error| PartFault::Unreadable { digest, error })?;
        let content = Arc::new(Content::<T> { value, part: Ok(part) });
        let mut slots = self.slots();
        let Some(slot) = slots.get_mut(&digest) else { return Ok(Shared(content)) };
        // Where somebody else was quicker, theirs is everybody's.
        Ok(known(slot).unwrap_or_else(|| {
            slot.values.push(content.clone());
            Shared(content)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Task {
        number: u32,
        rules: Shared<Vec<String>>,
        name: Option<Shared<String>>,
    }

    fn tasks() -> Vec<Task> {
        let rules = Shared::new(vec!["a".to_owned(), "b".to_owned()]);
        (0..3).map(|number| Task { number, rules: rules.clone(), name: None }).collect()
    }

    #[test]
    fn a_part_is_written_once_and_read_once() {
        let (json, parts) = collecting(|| serde_json::to_string(&tasks()).unwrap());
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].json.get(), r#"["a","b"]"#);
        assert_eq!(json.matches(&parts[0].digest.to_string()).count(), 3);
        let shelf = Shelf::of(parts);
        let read: Vec<Task> = shelf.reading(|| serde_json::from_str(&json)).unwrap();
        assert_eq!(read, tasks());
        assert!(Arc::ptr_eq(&read[0].rules.0, &read[2].rules.0));
        shelf.remove(read[0].rules.part().unwrap().digest);
        assert!(shelf.is_empty());
        assert_eq!(read[1].rules.len(), 2, "what was read stays");
    }

    #[test]
    fn a_part_that_is_not_there_is_named() {
        let json = serde_json::to_string(&tasks()).unwrap();
        let refused = serde_json::from_str::<Vec<Task>>(&json).unwrap_err().to_string();
        assert!(refused.contains("no parts are at hand"), "{refused}");
        let refused = Shelf::default().reading(|| serde_json::from_str::<Vec<Task>>(&json)).unwrap_err().to_string();
        assert!(refused.contains("is not at hand"), "{refused}");
        let shelf = Shelf::default();
        let text = Shared::new("words".to_owned());
        shelf.put(text.part().unwrap().clone());
        let digest = text.part().unwrap().digest;
        let json = format!(r#"{{"number":1,"rules":"{digest}","name":"{digest}"}}"#);
        let refused = shelf.reading(|| serde_json::from_str::<Task>(&json)).unwrap_err().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
        assert!("12".parse::<Digest>().is_err());
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn what_cannot_be_written_says_so_when_it_is() {
        let odd = Shared::new(BTreeMap::from([(vec![1u8], 1u8)]));
        assert!(serde_json::to_string(&odd).unwrap_err().to_string().contains("key must be a string"));
        assert_eq!(odd, odd.clone());
        assert_ne!(odd, Shared::new(BTreeMap::from([(vec![1u8], 1u8)])));
    }
}
