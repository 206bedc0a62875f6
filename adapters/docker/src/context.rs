//! What a build is given: a tree with a Dockerfile, as a tar archive.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use faas_core::{ByteSize, Error, Result};
use faas_function::builder::{BuildRequest, Source, source_files};

use crate::error;

const OPERATION: &str = "build image";
/// Where sources lie in an image whose Dockerfile is made here.
const FUNCTION: &str = "/function";
/// The names of a tree's own Dockerfile, and of one that is made here.
const DOCKERFILE: &str = "Dockerfile";
const MADE: &str = ".faas.Dockerfile";
/// The base of an image when nothing is said: nothing.
const NOTHING: &str = "scratch";
const OPTIONS: [&str; 4] = ["base", "dockerfile", "entrypoint", "target"];

/// A tree as the engine takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) archive: Vec<u8>,
    pub(crate) dockerfile: String,
    pub(crate) target: String,
}

/// Reads what is to be built, of at most `bound`; the same sources and options are the same bytes.
/// It blocks.
pub(crate) fn read(request: &BuildRequest, bound: ByteSize) -> Result<Context> {
    let faults = request
        .options
        .keys()
        .filter(|name| !OPTIONS.contains(&name.as_str()));
    let faults = faults.map(|name| format!("option {name:?} is unknown"));
    Error::check(OPERATION, faults.collect())?;
    let option = |name: &str| request.options.get(name);
    let mut archive = Archive::new(bound);
    let dockerfile = match &request.source {
        Source::Directory(root) => {
            for path in source_files(root)? {
                archive.add(&path, &root.join(&path))?;
            }
            let own = option("dockerfile").map_or(DOCKERFILE, String::as_str);
            if option("dockerfile").is_some() || root.join(own).exists() {
                own.to_owned()
            } else {
                let none = || {
                    let message = "a tree without Dockerfile needs the option `entrypoint`";
                    Error::invalid(OPERATION, message)
                };
                let entrypoint = option("entrypoint").ok_or_else(none)?;
                archive.made(&made(option("base"), ".", entrypoint)?)?
            }
        }
        Source::File(path) => {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .ok_or_else(|| {
                    Error::invalid(
                        OPERATION,
                        format!("{} has no name in UTF-8", path.display()),
                    )
                })?;
            archive.add(Path::new(name), path)?;
            let itself = format!("{FUNCTION}/{name}");
            let entrypoint = option("entrypoint").unwrap_or(&itself);
            archive.made(&made(option("base"), name, entrypoint)?)?
        }
        other => {
            let message = format!("{other:?} is neither a directory nor a file");
            return Err(Error::invalid(OPERATION, message));
        }
    };
    Ok(Context {
        archive: archive.end()?,
        dockerfile,
        target: option("target").cloned().unwrap_or_default(),
    })
}

/// A Dockerfile that puts sources onto a base. The entrypoint is a JSON list, or one program.
fn made(base: Option<&String>, what: &str, entrypoint: &str) -> Result<String> {
    let base = base.map_or(NOTHING, String::as_str);
    if base.is_empty() || base.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let message = format!("the base {base:?} is not the name of an image");
        return Err(Error::invalid(OPERATION, message));
    }
    let list: Vec<String> = match entrypoint.starts_with('[') {
        true => serde_json::from_str(entrypoint).map_err(|error| {
            let message = format!("the entrypoint {entrypoint:?} is not a list of texts");
            Error::invalid(OPERATION, message).with_source(error)
        })?,
        false => vec![entrypoint.to_owned()],
    };
    let (list, what) = (
        serde_json::json!(list),
        serde_json::json!([what, format!("{FUNCTION}/")]),
    );
    Ok(format!(
        "FROM {base}\nCOPY {what}\nWORKDIR {FUNCTION}\nENTRYPOINT {list}\n"
    ))
}

struct Archive {
    tar: tar::Builder<Vec<u8>>,
    left: u64,
    bound: ByteSize,
}

impl Archive {
    fn new(bound: ByteSize) -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
            left: bound.0,
            bound,
        }
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        let too_large = || {
            let message = format!("the sources have more than {}", self.bound);
            Error::invalid(OPERATION, message)
        };
        self.left = self.left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    /// Adds a file or link; of its attributes, only whether it can be executed.
    fn add(&mut self, name: &Path, from: &Path) -> Result<()> {
        let unread = |error| error::file(OPERATION, from, error);
        let data = fs::symlink_metadata(from).map_err(unread)?;
        let mut header = tar::Header::new_gnu();
        if data.is_symlink() {
            let to: PathBuf = fs::read_link(from).map_err(unread)?;
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            return self.tar.append_link(&mut header, name, to).map_err(unread);
        }
        self.take(data.len())?;
        let bytes = fs::read(from).map_err(unread)?;
        let executable = data.permissions().mode() & 0o111 != 0;
        header.set_mode(if executable { 0o755 } else { 0o644 });
        header.set_size(bytes.len() as u64);
        self.tar
            .append_data(&mut header, name, &bytes[..])
            .map_err(unread)
    }

    fn made(&mut self, dockerfile: &str) -> Result<String> {
        let unmade = |error| error::file(OPERATION, Path::new(MADE), error);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(dockerfile.len() as u64);
        let added = self
            .tar
            .append_data(&mut header, MADE, dockerfile.as_bytes());
        added.map_err(unmade)?;
        Ok(MADE.to_owned())
    }

    fn end(self) -> Result<Vec<u8>> {
        let unmade = |error| error::file(OPERATION, Path::new(MADE), error);
        self.tar.into_inner().map_err(unmade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(source: Source, options: &[(&str, &str)]) -> BuildRequest {
        let mut request = BuildRequest::new("container".parse().unwrap(), source);
        let pairs = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        request.options = pairs.collect();
        request
    }

    #[test]
    fn a_dockerfile_is_made_where_there_is_none() {
        let text = made(None, "main", "/function/main").unwrap();
        let expected = "FROM scratch\nCOPY [\"main\",\"/function/\"]\nWORKDIR /function\n\
                        ENTRYPOINT [\"/function/main\"]\n";
        assert_eq!(text, expected);
        let list = made(Some(&"a/b:1".to_owned()), ".", r#"["sh","-c","x"]"#).unwrap();
        assert!(list.contains("FROM a/b:1\n") && list.contains(r#"["sh","-c","x"]"#));
        assert!(made(Some(&"a\nRUN evil".to_owned()), ".", "x").is_err());
        assert!(made(None, ".", "[1]").is_err());
    }

    #[test]
    fn the_same_sources_are_the_same_bytes_and_bounded() {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path().to_owned();
        fs::write(root.join("b"), "bb").unwrap();
        fs::write(root.join("a"), "a").unwrap();
        let request = request(Source::Directory(root.clone()), &[("entrypoint", "./a")]);
        let once = read(&request, ByteSize::kib(1)).unwrap();
        assert_eq!(read(&request, ByteSize::kib(1)).unwrap(), once);
        assert_eq!(once.dockerfile, MADE);
        assert!(read(&request, ByteSize(2)).is_err());
        fs::write(root.join("Dockerfile"), "FROM scratch").unwrap();
        let own = read(&request, ByteSize::kib(1)).unwrap();
        assert_eq!(own.dockerfile, DOCKERFILE);
    }

    #[test]
    fn unknown_options_are_told_at_once() {
        let request = request(Source::File("/x".into()), &[("a", ""), ("b", "")]);
        let error = read(&request, ByteSize::kib(1)).unwrap_err();
        assert!(error.message().contains("\"a\"") && error.message().contains("\"b\""));
    }
}
