//! The lines that a container wrote, as the engine kept them.

use std::sync::Arc;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use bytes::{Bytes, BytesMut};
use faas_core::{Clock, Result};
use faas_resource::agent::{LogLine, LogStream};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::config::DockerNodeBuilder;
use crate::error;

/// Bytes kept of one line; the engine hands on a long one in pieces.
const LONGEST: usize = 16 << 10;

/// What is kept, then, if `follow`, what comes until the container's end.
pub(crate) fn read(
    config: &DockerNodeBuilder,
    container: &str,
    follow: bool,
) -> BoxStream<'static, Result<LogLine>> {
    let reader = Reader {
        docker: config.engine.docker.clone(),
        clock: config.clock.clone(),
        container: container.to_owned(),
        lines: Lines::default(),
    };
    let first = reader.open(follow, 0);
    let state = Some((reader, first, follow));
    stream::unfold(state, async |state| {
        let (mut reader, mut output, follow) = state?;
        match output.next().await {
            Some(Ok(piece)) => {
                let done = reader.lines.take(piece, &*reader.clock);
                Some((done.map(Ok).collect(), Some((reader, output, follow))))
            }
            Some(Err(error)) => Some((vec![Err(error)], None)),
            // Who follows an engine may miss the last that was written: that is kept.
            None if follow => {
                reader.lines.again();
                let since = reader.lines.last().map_or(0, Timestamp::as_second);
                let rest = reader.open(false, i32::try_from(since).unwrap_or(0));
                Some((Vec::new(), Some((reader, rest, false))))
            }
            None => Some((reader.lines.rest().map(Ok).collect(), None)),
        }
    })
    .flat_map(stream::iter)
    .boxed()
}

struct Reader {
    docker: Docker,
    clock: Arc<dyn Clock>,
    container: String,
    lines: Lines,
}

impl Reader {
    fn open(&self, follow: bool, since: i32) -> BoxStream<'static, Result<LogOutput>> {
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            timestamps: true,
            since,
            ..LogsOptions::default()
        };
        let name = self.container.clone();
        let output = self.docker.logs(&self.container, Some(options));
        output
            .map_err(move |e| error::engine("read logs", &name, e))
            .boxed()
    }
}

/// A line that has not ended yet.
#[derive(Debug, Default)]
struct Part {
    at: Option<Timestamp>,
    text: BytesMut,
    taken: Taken,
}

/// How far a stream was taken. A time alone does not say it: all pieces of one line bear the time of
/// the first.
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    last: Option<Timestamp>,
    /// How many messages of that time were taken, and how many of them have come once more.
    count: usize,
    again: usize,
}

impl Taken {
    /// Whether a message that comes once more was taken before.
    fn has(&mut self, at: Option<Timestamp>) -> bool {
        let same = at.is_some() && at == self.last && self.again < self.count;
        self.again += usize::from(same);
        same || at.is_some() && at < self.last
    }

    fn add(&mut self, at: Option<Timestamp>) {
        if at > self.last {
            (self.last, self.count) = (at, 0);
        }
        self.count += usize::from(at == self.last);
        self.again = self.count;
    }
}

/// Puts the pieces of lines together, each stream's by themselves.
#[derive(Debug, Default)]
struct Lines {
    out: Part,
    err: Part,
    /// Whether the engine tells all once more.
    anew: bool,
}

impl Lines {
    /// Takes one message of the engine: a line or a piece of one, after its time.
    fn take(
        &mut self,
        output: LogOutput,
        clock: &dyn Clock,
    ) -> impl Iterator<Item = LogLine> + use<> {
        let (stream, part) = match &output {
            LogOutput::StdErr { .. } => (LogStream::Err, &mut self.err),
            _ => (LogStream::Out, &mut self.out),
        };
        let message = output.into_bytes();
        let (at, text) = split(&message);
        if self.anew && part.taken.has(at) {
            return None.into_iter();
        }
        part.taken.add(at);
        part.at
            .get_or_insert_with(|| at.unwrap_or_else(|| clock.wall()));
        let ends = text.ends_with(b"\n");
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let room = LONGEST.saturating_sub(part.text.len());
        part.text.extend_from_slice(&text[..text.len().min(room)]);
        let done = ends.then(|| part.line(stream));
        done.flatten().into_iter()
    }

    /// From here on the engine tells what it has once more; only what was not taken yet is.
    fn again(&mut self) {
        self.anew = true;
        (self.out.taken.again, self.err.taken.again) = (0, 0);
    }

    /// Up to when all is there of both streams.
    fn last(&self) -> Option<Timestamp> {
        self.out.taken.last.min(self.err.taken.last)
    }

    /// What was never ended.
    fn rest(&mut self) -> impl Iterator<Item = LogLine> + use<> {
        let rest = [self.out.line(LogStream::Out), self.err.line(LogStream::Err)];
        let rest = rest.into_iter().flatten();
        rest.filter(|line| !line.text.is_empty())
    }
}

impl Part {
    /// The line as far as it is there, if it has begun; another one begins.
    fn line(&mut self, stream: LogStream) -> Option<LogLine> {
        Some(LogLine {
            at: self.at.take()?,
            stream,
            text: std::mem::take(&mut self.text).freeze(),
        })
    }
}

fn split(message: &Bytes) -> (Option<Timestamp>, &[u8]) {
    let space = message.iter().position(|byte| *byte == b' ');
    let at = space.and_then(|space| std::str::from_utf8(&message[..space]).ok()?.parse().ok());
    match (at, space) {
        (Some(at), Some(space)) => (Some(at), &message[space + 1..]),
        _ => (None, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use faas_core::TokioClock;

    fn out(text: &str) -> LogOutput {
        let message = Bytes::copy_from_slice(text.as_bytes());
        LogOutput::StdOut { message }
    }

    fn err(text: &str) -> LogOutput {
        let message = Bytes::copy_from_slice(text.as_bytes());
        LogOutput::StdErr { message }
    }

    #[test]
    fn pieces_are_put_together_by_stream() {
        let clock = TokioClock::new();
        let mut lines = Lines::default();
        let pieces = [
            out("2026-01-02T03:04:05Z one"),
            err("2026-01-02T03:04:06Z bad\n"),
            out("2026-01-02T03:04:07Z  more\n"),
            out("2026-01-02T03:04:08Z \n"),
            out("2026-01-02T03:04:09Z last"),
        ];
        let mut read = Vec::new();
        for piece in pieces {
            read.extend(lines.take(piece, &clock));
        }
        read.extend(lines.rest());
        let texts = read
            .iter()
            .map(|line| (line.stream, &line.text[..], line.at.to_string()));
        let expected: [(LogStream, &[u8], &str); 4] = [
            (LogStream::Err, b"bad", "2026-01-02T03:04:06Z"),
            (LogStream::Out, b"one more", "2026-01-02T03:04:05Z"),
            (LogStream::Out, b"", "2026-01-02T03:04:08Z"),
            (LogStream::Out, b"last", "2026-01-02T03:04:09Z"),
        ];
        let expected = expected.map(|(stream, text, at)| (stream, text, at.to_owned()));
        assert_eq!(texts.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let clock = TokioClock::new();
        let mut lines = Lines::default();
        let old = || out("2026-01-02T03:04:05Z one\n");
        assert_eq!(lines.take(old(), &clock).count(), 1);
        lines.again();
        assert_eq!(lines.take(old(), &clock).count(), 0);
        let more = out("2026-01-02T03:04:06Z two\n");
        assert_eq!(lines.take(more, &clock).count(), 1);
        let other = err("2026-01-02T03:04:05Z of its own\n");
        assert_eq!(lines.take(other, &clock).count(), 1);
    }

    #[test]
    fn pieces_of_one_time_are_taken_once_each() {
        let clock = TokioClock::new();
        let pieces = ["a", "b", "c\n"].map(|text| format!("2026-01-02T03:04:05Z {text}"));
        let taken = |lines: &mut Lines, pieces: &[String]| {
            let pieces = pieces.iter();
            let done = pieces.flat_map(|piece| lines.take(out(piece), &clock));
            done.map(|line| line.text).collect::<Vec<_>>()
        };
        for known in 0..=pieces.len() {
            let mut lines = Lines::default();
            let mut all = taken(&mut lines, &pieces[..known]);
            lines.again();
            all.extend(taken(&mut lines, &pieces));
            assert_eq!(all, ["abc"], "after {known} pieces");
        }
    }

    #[test]
    fn of_a_line_without_end_the_beginning_is_kept() {
        let clock = TokioClock::new();
        let mut lines = Lines::default();
        for _ in 0..100 {
            assert_eq!(lines.take(out(&"x".repeat(1 << 10)), &clock).count(), 0);
        }
        let line = lines.take(out("\n"), &clock).next();
        assert_eq!(line.map(|line| line.text.len()), Some(LONGEST));
    }
}
