//! [`FunctionRef`]: which function, and which version of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};
use crate::id::RevisionNumber;
use crate::name::{AliasName, Name, Namespace};

/// Which version of a function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Qualifier {
    /// The newest revision; written by leaving the qualifier out, or as `latest`.
    #[default]
    Latest,
    /// One revision, written as its number.
    Revision(RevisionNumber),
    /// Whatever the alias points to, split by its weights.
    Alias(AliasName),
}

impl FromStr for Qualifier {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(number) if number > 0 => Ok(Self::Revision(RevisionNumber(number))),
                _ => Err(Error::invalid(
                    "parse qualifier",
                    format!(
                        "revision {} is not a number from 1 to {}",
                        quoted(text),
                        u64::MAX
                    ),
                )),
            };
        }
        AliasName::new(text).map(Self::Alias)
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Revision(number) => number.fmt(f),
            Self::Alias(alias) => alias.fmt(f),
        }
    }
}

/// A function, written `namespace/name@qualifier`; namespace and qualifier may be left out.
///
/// ```
/// use faas_core::{FunctionRef, Qualifier};
///
/// let function: FunctionRef = "shop/checkout@prod".parse()?;
/// assert_eq!(function.to_string(), "shop/checkout@prod");
/// let short: FunctionRef = "hello".parse()?;
/// assert_eq!(short.qualifier, Qualifier::Latest);
/// assert_eq!(short.to_string(), "default/hello");
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionRef {
    /// The tenant boundary.
    pub namespace: Namespace,
    /// The function's name.
    pub name: Name,
    /// Which version of it.
    pub qualifier: Qualifier,
}

impl FunctionRef {
    /// The newest revision of a function.
    pub fn latest(namespace: Namespace, name: Name) -> Self {
        Self {
            namespace,
            name,
            qualifier: Qualifier::Latest,
        }
    }

    /// The same function at another version.
    #[must_use]
    pub fn at(&self, qualifier: Qualifier) -> Self {
        Self {
            qualifier,
            ..self.clone()
        }
    }
}

impl FromStr for FunctionRef {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (path, qualifier) = match text.split_once('@') {
            Some((path, qualifier)) => (path, qualifier.parse()),
            None => (text, Ok(Qualifier::Latest)),
        };
        let (namespace, name) = match path.split_once('/') {
            Some((namespace, name)) => (Namespace::new(namespace), name),
            None => (Ok(Namespace::default()), path),
        };
        match (namespace, Name::new(name), qualifier) {
            (Ok(namespace), Ok(name), Ok(qualifier)) => Ok(Self {
                namespace,
                name,
                qualifier,
            }),
            (namespace, name, qualifier) => {
                let faults = [namespace.err(), name.err(), qualifier.err()];
                let faults = faults
                    .into_iter()
                    .flatten()
                    .map(|e| e.message().to_owned())
                    .collect();
                Error::check("parse function reference", faults)?;
                Err(Error::internal(
                    "parse function reference",
                    "a part failed without a fault",
                ))
            }
        }
    }
}

impl TryFrom<&str> for FunctionRef {
    type Error = Error;
    fn try_from(text: &str) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        match &self.qualifier {
            Qualifier::Latest => Ok(()),
            qualifier => write!(f, "@{qualifier}"),
        }
    }
}

impl Serialize for FunctionRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FunctionRef {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_fault_is_reported_at_once() {
        let error = "a b/-x@0".parse::<FunctionRef>().unwrap_err();
        assert!(error.message().starts_with("3 faults"), "{error}");
    }

    proptest! {
        #[test]
        fn text_round_trips(text in "([a-z]{1,9}/)?[a-zA-Z0-9]{1,20}(@([1-9][0-9]{0,9}|[a-z]{1,9}))?") {
            let parsed: FunctionRef = text.parse().unwrap();
            prop_assert_eq!(parsed.to_string().parse::<FunctionRef>().unwrap(), parsed);
        }

        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = text.parse::<FunctionRef>();
        }
    }
}
