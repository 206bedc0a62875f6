//! Parsers that are not public, for the targets in `fuzz/`.

use serde_json::Value;

use super::intrinsic;
use super::path::Path;

/// Reads a path, and looks for what it names in `value`, visiting so many nodes at most; answers
/// the path as it was written, if it is one.
pub fn path(text: &str, value: &Value, nodes: usize) -> Option<String> {
    let path = Path::parse(text).ok()?;
    if let Ok(found) = path.find(0, value, nodes) {
        let found = found.into_value();
        assert!(!path.is_whole() || found == *value, "$ is its root");
    }
    Some(path.text().to_owned())
}

/// Reads a call of an intrinsic function; answers the paths in it, if it is one.
pub fn intrinsic(text: &str) -> Option<Vec<String>> {
    let call = intrinsic::parse(text).ok()?;
    let mut paths = Vec::new();
    call.paths(&mut paths);
    Some(paths.iter().map(|path| path.text().to_owned()).collect())
}
