//! [`SandboxEnvironment`]: what a contract adds to the environment of a function's sandboxes.

use std::collections::{BTreeMap, BTreeSet};

/// What a contract adds to the environment of a function's sandboxes.
///
/// A sandbox's variables come from four places; of two that name the same one, the later wins:
/// the contract's `defaults`, the function's own configuration, what the contract fixes, what the
/// hook prepares and the node adds. A function that sets what is not its own is refused at the
/// door, so that no variable is overruled unseen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SandboxEnvironment {
    /// Set unless the function sets them itself.
    pub defaults: BTreeMap<String, String>,
    /// Set in any case; a function must not set them.
    pub fixed: BTreeMap<String, String>,
    /// Set by the node to where the code lies, as the sandbox sees it; a function must not set them.
    pub code_root: BTreeSet<String>,
    /// Set by the hook before each start, or by the runtime in the sandbox; a function must not set
    /// them.
    pub reserved: BTreeSet<String>,
}

impl SandboxEnvironment {
    /// What a function of that configuration must not set, and does: a text for each.
    pub fn faults(&self, own: &BTreeMap<String, String>) -> Vec<String> {
        let taken = own.keys().filter(|name| {
            self.fixed.contains_key(*name)
                || self.code_root.contains(*name)
                || self.reserved.contains(*name)
        });
        taken
            .map(|name| format!("environment variable {name} is reserved by the runtime"))
            .collect()
    }

    /// The environment of a function that sets `own` itself.
    #[must_use]
    pub fn merge(&self, own: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let layers = [&self.defaults, own, &self.fixed];
        let pairs = layers.into_iter().flatten();
        pairs
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn defaults_yield_and_fixed_ones_do_not() {
        let environment = SandboxEnvironment {
            defaults: map(&[("A", "default"), ("B", "default")]),
            fixed: map(&[("C", "fixed")]),
            ..SandboxEnvironment::default()
        };
        let merged = environment.merge(&map(&[("B", "own"), ("D", "own")]));
        let expected = [("A", "default"), ("B", "own"), ("C", "fixed"), ("D", "own")];
        assert_eq!(merged, map(&expected));
    }

    #[test]
    fn all_reserved_names_are_faults_and_defaults_are_none() {
        let environment = SandboxEnvironment {
            defaults: map(&[("A", "")]),
            fixed: map(&[("B", "")]),
            code_root: ["C".to_owned()].into(),
            reserved: ["D".to_owned()].into(),
        };
        let own = map(&[("A", ""), ("B", ""), ("C", ""), ("D", ""), ("E", "")]);
        let faults = environment.faults(&own);
        assert_eq!(faults.len(), 3, "{faults:?}");
        for name in ["B", "C", "D"] {
            let named = |fault: &String| fault.contains(&format!("variable {name} "));
            assert!(faults.iter().any(named), "{name}");
        }
    }
}
