//! Cargo as a process that is killed with all its children.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;

use faas_core::{Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::builder::flight::Log;

/// Lines of the log that an error carries.
const TAIL: usize = 40;
/// Bytes of a line of the log, and of a message for programs, that are read; the rest is skipped.
const LONGEST: (usize, usize) = (16 << 10, 4 << 20);

/// A child that leads a process group; the group ends with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // The id is there until the child is waited for, so it cannot be somebody else's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// That a program of the toolchain is not there, or may not be run.
pub(super) fn unstarted(program: &str, error: std::io::Error) -> Error {
    let message = format!("{program} cannot be started: {error}; is Rust installed, and on PATH?");
    Error::unavailable("build with cargo", message).with_source(error)
}

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("run cargo", error.to_string()).with_source(error)
}

/// Runs cargo to its end; its log goes to `log`, and the names and paths of the binaries that it
/// made are answered.
pub(super) async fn run(mut command: Command, log: &Log) -> Result<Vec<(String, PathBuf)>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let spawned = command.spawn();
    let mut group = Group(spawned.map_err(|error| unstarted("cargo", error))?);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let mut binaries = Vec::new();
    let mut tail = VecDeque::new();
    let messages = lines(stdout, LONGEST.1, |line| binaries.extend(binary(line)));
    let said = lines(stderr, LONGEST.0, |line| {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        log.line(&text);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(text);
    });
    tokio::try_join!(messages, said)?;
    let status = group.0.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(binaries);
    }
    let tail = Vec::from(tail).join("\n");
    let message = format!("cargo failed ({status}):\n{tail}");
    Err(Error::invalid("build with cargo", message))
}

/// Hands over each line, without what is beyond the `longest`.
async fn lines(
    from: Option<impl AsyncRead + Unpin>,
    longest: usize,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        let read = from.fill_buf().await.map_err(failed)?;
        if read.is_empty() {
            break;
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        line.extend_from_slice(&part[..part.len().min(longest - line.len())]);
        let used = part.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            take(&line);
            line.clear();
        }
    }
    if !line.is_empty() {
        take(&line);
    }
    Ok(())
}

/// The name and path of the binary that a message of cargo's tells of.
fn binary(message: &[u8]) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_slice(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[tokio::test]
    async fn lines_are_cut_and_none_is_lost() {
        let text: &[u8] = b"short\n\na line that is too long\nlast";
        let mut seen = Vec::new();
        let all = lines(Some(text), 6, |line| seen.push(line.to_owned())).await;
        all.expect("a slice is read to its end");
        assert_eq!(seen, [&b"short"[..], b"", b"a line", b"last"]);
    }
}
