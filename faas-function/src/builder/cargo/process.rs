//! Cargo as a process that is killed with all its children.

use std::path::PathBuf;
use std::process::Stdio;

use faas_core::{Error, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::builder::flight::Log;

/// Lines of the log that an error carries.
const TAIL: usize = 40;

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

fn failed(error: std::io::Error) -> Error {
    Error::unavailable("run cargo", error.to_string()).with_source(error)
}

/// Runs cargo to its end; its messages go to `log`, and its standard output is answered.
pub(super) async fn run(mut command: Command, log: &Log) -> Result<Vec<u8>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut group = Group(command.spawn().map_err(failed)?);
    let (stdout, stderr) = (group.0.stdout.take(), group.0.stderr.take());
    let (output, tail) = tokio::try_join!(all(stdout), lines(stderr, log))?;
    let status = group.0.wait().await.map_err(failed)?;
    if status.success() {
        return Ok(output);
    }
    let message = format!("cargo failed ({status}):\n{}", tail.join("\n"));
    Err(Error::invalid("build with cargo", message))
}

async fn all(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut output = Vec::new();
    if let Some(mut from) = from {
        from.read_to_end(&mut output).await.map_err(failed)?;
    }
    Ok(output)
}

/// Logs each line, and answers the last ones.
async fn lines(from: Option<impl AsyncRead + Unpin>, log: &Log) -> Result<Vec<String>> {
    let mut tail = Vec::new();
    let Some(from) = from else { return Ok(tail) };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.map_err(failed)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        log.line(&text);
        if tail.len() == TAIL {
            tail.remove(0);
        }
        tail.push(text);
        line.clear();
    }
    Ok(tail)
}

/// The names and paths of the binaries in cargo's messages.
pub(super) fn binaries(messages: &[u8]) -> Vec<(String, PathBuf)> {
    let lines = messages.split(|byte| *byte == b'\n');
    let binary = |line: &[u8]| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        let path = message.get("executable")?.as_str()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        Some((name.to_owned(), PathBuf::from(path)))
    };
    lines.filter_map(binary).collect()
}
