//! Validated names. One rule for all of them, chosen so that every name is also a Kubernetes label
//! value, a Lambda function name and a safe file name: 1 to 63 characters of `A-Z a-z 0-9 - _`, the
//! first and last a letter or digit.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{Error, Result, quoted};

/// The longest name, in bytes.
pub const MAX_NAME: usize = 63;

/// Why `text` is no name, or `None` if it is one.
pub fn fault(text: &str) -> Option<&'static str> {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        Some("is empty")
    } else if bytes.len() > MAX_NAME {
        Some("is longer than 63 characters")
    } else if !bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    {
        Some("has a character other than A-Z, a-z, 0-9, '-' and '_'")
    } else if !edge(bytes.first()) || !edge(bytes.last()) {
        Some("does not begin and end with a letter or digit")
    } else {
        None
    }
}

/// An alias must not read as another qualifier: `latest`, or a revision's number.
fn alias_fault(text: &str) -> Option<&'static str> {
    fault(text).or_else(|| match text {
        "latest" => Some("always means the newest revision"),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => Some("reads as a revision's number"),
        _ => None,
    })
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $fault:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the [rule of names](self).
            ///
            /// # Errors
            /// `InvalidArgument` that says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                match $fault(text) {
                    None => Ok(Self(text.into())),
                    Some(fault) => {
                        let message = format!("{} {} {fault}", $what, quoted(text));
                        Err(Error::invalid("parse name", message))
                    }
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;
            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// The tenant boundary: names, quotas, authorisation.
    Namespace, "namespace", fault;
    /// The name of a function or of anything that has no more special name.
    Name, "name", fault;
    /// A movable name for a weighted set of revisions. Neither `latest` nor all digits, which
    /// mean something else after the `@` of a [`FunctionRef`](crate::FunctionRef).
    AliasName, "alias", alias_fault;
    /// A named pair of builder and contract, e.g. `python3`, `provided`, `handler`.
    RuntimeName, "runtime", fault;
    /// An in-process handler, looked up in a [`HandlerRegistry`](crate::HandlerRegistry).
    HandlerName, "handler", fault;
    /// A sandbox hook, registered with whoever starts sandboxes.
    HookName, "hook", fault;
    /// A node of the resource layer.
    NodeName, "node", fault;
    /// A workflow.
    WorkflowName, "workflow", fault;
}

impl Namespace {
    /// The namespace of whoever names none: `default`.
    pub fn default_namespace() -> Self {
        Self("default".into())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::default_namespace()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_rule_allows() {
        for good in ["a", "A9", "word-count", "x_y-z", &"n".repeat(63)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn refuses_with_the_reason() {
        for (bad, why) in [
            ("", "is empty"),
            (&*"n".repeat(64), "longer"),
            ("-a", "begin"),
            ("a_", "end"),
            ("a/b", "character"),
            ("naïve", "character"),
        ] {
            let error = Namespace::new(bad).unwrap_err();
            assert!(error.message().contains(why), "{bad}: {error}");
            assert!(error.message().contains("namespace"), "{error}");
        }
    }

    #[test]
    fn an_alias_reads_as_no_other_qualifier() {
        for bad in ["latest", "7", "007"] {
            assert!(AliasName::new(bad).is_err(), "{bad}");
            assert!(Name::new(bad).is_ok(), "{bad}");
        }
        assert!(AliasName::new("v7").is_ok());
    }

    #[test]
    fn serde_checks_too() {
        assert!(serde_json::from_str::<Name>("\"ok\"").is_ok());
        assert!(serde_json::from_str::<Name>("\"not ok\"").is_err());
    }
}
