//! [`TraceContext`]: the `traceparent` of [W3C Trace Context](https://www.w3.org/TR/trace-context/).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, quoted};

/// Which trace an invocation belongs to. Zero ids mean that there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TraceContext {
    /// The whole trace.
    pub trace_id: u128,
    /// The span that caused this call.
    pub parent_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Whether there is a trace.
    pub const fn is_present(&self) -> bool {
        self.trace_id != 0 && self.parent_id != 0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

impl FromStr for TraceContext {
    type Err = Error;

    /// Reads version 00 and, as the recommendation asks, what later versions share with it.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(
                "parse traceparent",
                format!("{} is not a traceparent", quoted(text)),
            )
        };
        let hex = |part: &str, len: usize| {
            let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let good = part.len() == len && part.bytes().all(digits);
            good.then(|| u128::from_str_radix(part, 16).ok())
                .flatten()
                .ok_or_else(bad)
        };
        let mut parts = text.split('-');
        let mut part = |len| parts.next().ok_or_else(bad).and_then(|part| hex(part, len));
        let (version, trace_id, parent, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let more = parts.next().is_some();
        let context = Self {
            trace_id,
            parent_id: parent as u64,
            flags: flags as u8,
        };
        if version == 0xff || (version == 0 && more) || !context.is_present() {
            return Err(bad());
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_recommendations_example_round_trips() {
        assert_eq!(
            EXAMPLE.parse::<TraceContext>().unwrap().to_string(),
            EXAMPLE
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9a-f-]{0,70}|.{0,80}") {
            let _ = text.parse::<TraceContext>();
        }
    }

    #[test]
    fn refuses_what_the_recommendation_refuses() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
        }
        assert!(
            EXAMPLE
                .replacen("00", "01", 1)
                .parse::<TraceContext>()
                .is_ok()
        );
    }
}
