//! How names and leases lie in the store.

use bytes::{BufMut, Bytes, BytesMut};
use faas_core::encoding::{self, Stored};
use faas_core::store::{Key, Revision, Space};
use faas_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::naming::{LeaseId, Path, Record};

/// Names, and the key that orders their changes.
pub(super) const NAMES: Space = Space::watched("naming");
/// Leases; watched by those who end them.
pub(super) const LEASES: Space = Space::watched("naming-leases");
/// Which names are bound under a lease.
pub(super) const LEASED: Space = Space::unwatched("naming-leased");

/// What precedes the value of a name.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    revision: Revision,
    lease: Option<LeaseId>,
}

impl Stored for Head {
    const KIND: &'static str = "name";
    const VERSION: u32 = 1;
}

pub(super) fn turn_key() -> Key {
    Key::new("turn")
}

fn child(key: Key, path: &Path) -> Key {
    path.segments().fold(key, |key, segment| key.child(segment))
}

pub(super) fn name_key(path: &Path) -> Key {
    child(Key::new("name"), path)
}

pub(super) fn lease_key(lease: LeaseId) -> Key {
    Key::empty().number(lease.0)
}

pub(super) fn leased_key(lease: LeaseId, path: &Path) -> Key {
    child(lease_key(lease), path)
}

/// The path in the key of a name or of a leased name.
pub(super) fn path_of(key: &Key) -> Result<Path> {
    let segments: Vec<_> = key.parts().skip(1).map(String::from_utf8_lossy).collect();
    Path::new(segments.join("/"))
}

/// The lease that a key of [`LEASES`] is about.
pub(super) fn lease_of(key: &Key) -> Result<LeaseId> {
    let number = key
        .parts()
        .next()
        .and_then(|part| std::str::from_utf8(part).ok());
    let number = number.and_then(|text| text.parse().ok()).map(LeaseId);
    number.ok_or_else(|| Error::internal("read lease", format!("{key:?} is no lease")))
}

/// A value as it is stored: the length of the head, the head, and the bytes themselves.
pub(super) fn sealed(revision: Revision, lease: Option<LeaseId>, value: &[u8]) -> Result<Bytes> {
    let head = encoding::encode(&Head { revision, lease })?;
    let mut bytes = BytesMut::with_capacity(4 + head.len() + value.len());
    bytes.put_u32(u32::try_from(head.len()).unwrap_or(u32::MAX));
    bytes.put_slice(&head);
    bytes.put_slice(value);
    Ok(bytes.freeze())
}

/// What is stored for a name.
pub(super) fn record(path: &Path, stored: &Bytes) -> Result<Record> {
    let broken = || Error::internal("read name", format!("what is stored for {path} is broken"));
    let (length, rest) = stored.split_first_chunk::<4>().ok_or_else(broken)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let head = rest.get(..length).ok_or_else(broken)?;
    let Head { revision, lease } = encoding::decode(head)?;
    Ok(Record {
        path: path.clone(),
        value: stored.slice(4 + length..),
        revision,
        lease,
    })
}
