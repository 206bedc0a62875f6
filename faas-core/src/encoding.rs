//! The encoding of what is stored: JSON in an envelope that names its kind and version.
//!
//! A reader accepts the present version and those that its type still upgrades, and refuses data
//! from the future with a clear error, so that two neighbouring releases may share a store.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// Something that is stored.
pub trait Stored: Serialize + DeserializeOwned {
    /// What it is, in one word; never changes.
    const KIND: &'static str;
    /// The version of its encoding; rises with each change that an older reader would not read.
    const VERSION: u32;

    /// Reads the data of an older version.
    ///
    /// # Errors
    /// `Unsupported` for a version that is no longer read; `Internal` for data that is broken.
    fn upgrade(version: u32, _data: &str) -> Result<Self> {
        Err(Error::unsupported(
            "decode stored value",
            format!("{} of version {version} is no longer read", Self::KIND),
        ))
    }
}

#[derive(Serialize)]
struct Sealed<'a, T> {
    kind: &'a str,
    version: u32,
    data: &'a T,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    kind: std::borrow::Cow<'a, str>,
    version: u32,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The bytes to store.
///
/// # Errors
/// `Internal` if the value has no form in JSON.
pub fn encode<T: Stored>(value: &T) -> Result<Bytes> {
    let sealed = Sealed {
        kind: T::KIND,
        version: T::VERSION,
        data: value,
    };
    serde_json::to_vec(&sealed)
        .map(Bytes::from)
        .map_err(|error| {
            Error::internal(
                "encode stored value",
                format!("{} has no form in JSON", T::KIND),
            )
            .with_source(error)
        })
}

/// The value that was stored.
///
/// # Errors
/// `Internal` if the bytes are broken or of another kind; `Unsupported` if they are of a version
/// that this release does not read.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T> {
    let broken = |error: serde_json::Error| {
        let message = format!("{} bytes are no {}: {error}", bytes.len(), T::KIND);
        Error::internal("decode stored value", message).with_source(error)
    };
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(broken)?;
    if envelope.kind != T::KIND {
        let message = format!("a {} stands where a {} should", envelope.kind, T::KIND);
        return Err(Error::internal("decode stored value", message));
    }
    if envelope.version > T::VERSION {
        let message = format!(
            "{} of version {} was written by a newer release; this one reads up to {}",
            T::KIND,
            envelope.version,
            T::VERSION
        );
        return Err(Error::unsupported("decode stored value", message));
    }
    if envelope.version < T::VERSION {
        return T::upgrade(envelope.version, envelope.data.get());
    }
    serde_json::from_str(envelope.data.get()).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old(u32);
    impl Stored for Old {
        const KIND: &'static str = "thing";
        const VERSION: u32 = 1;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        n: u32,
    }
    impl Stored for New {
        const KIND: &'static str = "thing";
        const VERSION: u32 = 2;
        fn upgrade(version: u32, data: &str) -> Result<Self> {
            assert_eq!(version, 1);
            Ok(Self {
                n: data.parse().unwrap(),
            })
        }
    }

    #[test]
    fn old_data_is_upgraded_and_future_data_refused() {
        assert_eq!(
            decode::<New>(&encode(&Old(7)).unwrap()).unwrap(),
            New { n: 7 }
        );
        let error = decode::<Old>(&encode(&New { n: 7 }).unwrap()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    }

    #[test]
    fn broken_data_is_an_error() {
        for bad in ["", "{", "{}", r#"{"kind":"other","version":1,"data":1}"#] {
            assert!(decode::<Old>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in r#"\{?("(kind|version|data)":("thing"|[0-9]{1,12}|null|\[\]),?){0,4}\}?"#) {
            let _ = decode::<Old>(&bytes);
            let _ = decode::<Old>(text.as_bytes());
        }

        #[test]
        fn what_is_encoded_comes_back(number: u32, cut in 0..64usize) {
            let bytes = encode(&Old(number)).unwrap();
            proptest::prop_assert_eq!(decode::<Old>(&bytes).unwrap(), Old(number));
            let cut = cut.min(bytes.len() - 1);
            proptest::prop_assert!(decode::<Old>(&bytes[..cut]).is_err());
        }
    }
}
