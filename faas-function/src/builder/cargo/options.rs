//! The options of a cargo build, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use faas_core::{Error, Result};

use crate::builder::tree::{Fields, is_within};

const VALUES: [&str; 5] = ["binary", "package", "profile", "features", "manifest"];
const SWITCHES: [&str; 2] = ["offline", "locked"];

#[derive(Debug, Clone)]
pub(super) struct Options(BTreeMap<String, String>);

impl Options {
    /// Checks options for the tree at `root`.
    pub(super) fn read(root: &Path, options: &BTreeMap<String, String>) -> Result<Self> {
        let mut faults: Vec<_> = options
            .iter()
            .filter_map(|(name, value)| fault(root, name, value))
            .collect();
        if !root.is_dir() {
            faults.push(format!("the source {} is no directory", root.display()));
        }
        Error::check("build with cargo", faults)?;
        Ok(Self(options.clone()))
    }

    pub(super) fn add_to(&self, key: &mut Fields) {
        for (name, value) in &self.0 {
            key.add(name);
            key.add(value);
        }
        key.add("");
    }

    /// The arguments of cargo.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "build".into(),
            "--message-format=json-render-diagnostics".into(),
        ];
        let profile = self.0.get("profile").map_or("release", String::as_str);
        arguments.push(format!("--profile={profile}"));
        let flags = [
            ("binary", "bin"),
            ("package", "package"),
            ("features", "features"),
            ("manifest", "manifest-path"),
        ];
        for (option, flag) in flags {
            let value = self.0.get(option);
            arguments.extend(value.map(|value| format!("--{flag}={value}")));
        }
        let on = |switch: &&str| self.0.get(*switch).is_some_and(|value| value == "true");
        arguments.extend(SWITCHES.iter().filter(|s| on(s)).map(|s| format!("--{s}")));
        arguments
    }

    /// The one binary that was meant.
    pub(super) fn choose(&self, mut built: Vec<(String, PathBuf)>) -> Result<PathBuf> {
        if let Some(binary) = self.0.get("binary") {
            built.retain(|(name, _)| name == binary);
        }
        match <[_; 1]>::try_from(built) {
            Ok([(_, path)]) => Ok(path),
            Err(built) => {
                let names: Vec<_> = built.iter().map(|(name, _)| name.as_str()).collect();
                let message = format!("one binary is needed, not {names:?}: set option `binary`");
                Err(Error::invalid("build with cargo", message))
            }
        }
    }
}

fn fault(root: &Path, name: &str, value: &str) -> Option<String> {
    if SWITCHES.contains(&name) {
        let switch = ["true", "false"].contains(&value);
        return (!switch).then(|| format!("option {name} is neither true nor false"));
    }
    if !VALUES.contains(&name) {
        return Some(format!("option {name:?} is unknown"));
    }
    if name == "manifest" {
        return (!holds(root, Path::new(value)))
            .then(|| format!("manifest {value:?} is not a path within the source tree"));
    }
    // A name, or with features a list of names: never a path.
    let plain = |c: char| {
        c.is_alphanumeric() || "-_".contains(c) || (name == "features" && ",/ ".contains(c))
    };
    let good = !value.is_empty() && value.chars().all(plain);
    (!good).then(|| format!("option {name} has the strange value {value:?}"))
}

/// Whether a path stays within the tree, also through links.
fn holds(root: &Path, path: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let leaves = match (real(root), real(&root.join(path))) {
        (Some(root), Some(full)) => !full.starts_with(root),
        // Cargo says that it is not there.
        _ => false,
    };
    is_within(path) && !leaves
}
