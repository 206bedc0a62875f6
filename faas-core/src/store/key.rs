//! Keys, ranges of them, and the spaces that they live in.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A set of keys with an order of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space {
    name: Cow<'static, str>,
    watched: bool,
}

impl Space {
    /// A space whose changes have one order and can be watched.
    pub const fn watched(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            watched: true,
        }
    }

    /// A space without order across keys: histories, queues.
    pub const fn unwatched(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            watched: false,
        }
    }

    /// A space by a name that was read, as a store does that remembers spaces across restarts.
    pub fn declared(name: impl Into<Cow<'static, str>>, watched: bool) -> Self {
        let name = name.into();
        Self { name, watched }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its changes have one order.
    pub fn is_watched(&self) -> bool {
        self.watched
    }
}

/// A key: bytes, in byte order.
///
/// Built from parts, keys sort part by part: `a` comes before everything below `a`, and that
/// before `ab`. Parts must not hold the byte 0, which ends each of them; names never do.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Key(Bytes);

impl Key {
    /// The bytes as they are.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The empty key: the prefix of all others.
    pub const fn empty() -> Self {
        Self(Bytes::new())
    }

    /// A key of one part.
    pub fn new(part: impl AsRef<[u8]>) -> Self {
        Self::empty().child(part)
    }

    /// This key with one more part.
    #[must_use]
    pub fn child(&self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        debug_assert!(!part.contains(&0), "a part of a key holds the byte 0");
        let mut bytes = Vec::with_capacity(self.0.len() + part.len() + 1);
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(part);
        bytes.push(0);
        Self(bytes.into())
    }

    /// This key with a number as its last part; numbers sort as numbers.
    #[must_use]
    pub fn number(&self, number: u64) -> Self {
        self.child(format!("{number:020}"))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The parts that the key was built from.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0
            .strip_suffix(&[0])
            .into_iter()
            .flat_map(|bytes| bytes.split(|byte| *byte == 0))
    }

    /// Whether this key begins with `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

/// The keys from `start` up to and without `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first.
    pub start: Key,
    /// Behind the last; `None` for all that follow.
    pub end: Option<Key>,
}

impl KeyRange {
    /// All keys.
    pub const fn all() -> Self {
        Self {
            start: Key::empty(),
            end: None,
        }
    }

    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: Key) -> Self {
        let mut end = prefix.0.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let end = end.split_last().map(|(last, rest)| {
            let mut end = rest.to_vec();
            end.push(last + 1);
            Key(end.into())
        });
        Self { start: prefix, end }
    }

    /// The part of this range behind `key`: where the next page begins.
    #[must_use]
    pub fn after(self, key: &Key) -> Self {
        let mut start = key.0.to_vec();
        start.push(0);
        Self {
            start: Key(start.into()),
            ..self
        }
    }

    /// Whether `key` lies within.
    pub fn contains(&self, key: &Key) -> bool {
        *key >= self.start && self.end.as_ref().is_none_or(|end| key < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_prefix_range_holds_what_begins_with_it(prefix: Vec<u8>, key: Vec<u8>) {
            let (prefix, key) = (Key::from_bytes(prefix), Key::from_bytes(key));
            let within = KeyRange::prefix(prefix.clone()).contains(&key);
            prop_assert_eq!(within, key.starts_with(&prefix));
        }

        #[test]
        fn numbers_sort_as_numbers(a: u64, b: u64) {
            let key = Key::new("n");
            prop_assert_eq!(a.cmp(&b), key.number(a).cmp(&key.number(b)));
        }
    }

    #[test]
    fn parts_come_back() {
        let key = Key::new("shop").child("checkout").number(7);
        let parts: Vec<_> = key.parts().collect();
        assert_eq!(parts, [&b"shop"[..], b"checkout", b"00000000000000000007"]);
        assert_eq!(Key::empty().parts().count(), 0);
    }

    proptest! {
        #[test]
        fn keys_sort_part_by_part(
            a in prop::collection::vec("[a-c]{0,3}", 0..4),
            b in prop::collection::vec("[a-c]{0,3}", 0..4),
        ) {
            let key = |parts: &[String]| {
                parts.iter().fold(Key::empty(), |key, part| key.child(part))
            };
            prop_assert_eq!(a.cmp(&b), key(&a).cmp(&key(&b)));
            let back: Vec<_> = key(&a).parts().map(<[u8]>::to_vec).collect();
            let parts: Vec<_> = a.iter().map(|part| part.clone().into_bytes()).collect();
            prop_assert_eq!(back, parts);
        }

        #[test]
        fn the_next_page_begins_right_behind_a_key(key: Vec<u8>, other: Vec<u8>) {
            let (key, other) = (Key::from_bytes(key), Key::from_bytes(other));
            prop_assert_eq!(KeyRange::all().after(&key).contains(&other), other > key);
        }
    }
}
