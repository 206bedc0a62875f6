//! A child whose disk is noted, or fails, and what a power loss leaves.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, OnceLock};

use faas_core::SeededRandom;
use tempfile::TempDir;

const DIRECTORY: &str = "DISK_DIRECTORY";
/// What the child is to do.
const ROLE: &str = "FAAS_DISK_ROLE";
/// What a disk writes as a whole, or not at all.
const SECTOR: usize = 512;

/// The library that notes, compiled once; `None`, said loudly, where it cannot be.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let made = LIBRARY.get_or_init(|| {
        if !cfg!(target_os = "linux") {
            eprintln!("SKIPPED: disks are noted on Linux only");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let (source, library) = (
            directory.path().join("disk.c"),
            directory.path().join("disk.so"),
        );
        fs::write(&source, include_str!("disk.c")).expect("written");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        // The bundled SQLite was compiled by the same compiler.
        assert!(compiled.expect("a C compiler").success(), "disk.c");
        Some((directory, library))
    });
    made.as_ref().map(|(_, library)| library.as_path())
}

/// A directory for a child, and the notes of it.
pub(crate) struct Disk {
    directory: TempDir,
    library: &'static Path,
}

impl Disk {
    pub(crate) fn new() -> Option<Self> {
        let library = library()?;
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("disk")).expect("a directory");
        Some(Self { directory, library })
    }

    /// Runs a test of this binary as a child, in a role, with a fault of the disk or none.
    pub(crate) fn run(&self, test: &str, role: &str, fault: &str) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child
            .args(["--exact", test, "--nocapture"])
            .env("LD_PRELOAD", self.library)
            .env(DIRECTORY, self.directory.path().join("disk"))
            .env("DISK_TRACE", self.directory.path().join("notes"))
            .env(ROLE, role);
        if !fault.is_empty() {
            child.env("DISK_FAIL", fault);
        }
        child.status().expect("the child runs")
    }

    pub(crate) fn notes(&self) -> Vec<Note> {
        let bytes = fs::read(self.directory.path().join("notes")).expect("notes");
        let mut rest = &bytes[..];
        let mut notes = Vec::new();
        while !rest.is_empty() {
            notes.push(Note::read(&mut rest));
        }
        notes
    }
}

/// The directory and the role of a child; `None` in a test that is none.
pub(crate) fn child() -> Option<(PathBuf, String)> {
    let role = std::env::var(ROLE).ok()?;
    Some((std::env::var_os(DIRECTORY)?.into(), role))
}

/// A file of lines.
pub(crate) struct Lines(Mutex<File>);

impl Lines {
    pub(crate) fn new(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Self(Mutex::new(file.expect("a file")))
    }

    /// One line in one write.
    pub(crate) fn say(&self, line: &str) {
        let mut file = self.0.lock().expect("no panic");
        file.write_all(format!("{line}\n").as_bytes())
            .expect("written");
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Made,
    Written,
    Cut,
    Synced,
    Removed,
    DirectorySynced,
}

/// What was done to a file.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    offset: usize,
    length: usize,
    pub(crate) data: Vec<u8>,
}

impl Note {
    fn read(rest: &mut &[u8]) -> Self {
        let mut take = |count: usize| {
            let (taken, left) = rest.split_at(count);
            *rest = left;
            taken
        };
        let kind = match take(1)[0] {
            b'C' => Kind::Made,
            b'W' => Kind::Written,
            b'T' => Kind::Cut,
            b'S' => Kind::Synced,
            b'U' => Kind::Removed,
            b'D' => Kind::DirectorySynced,
            other => panic!("a note of the kind {other}"),
        };
        let length = usize::from(take(1)[0]);
        let name = String::from_utf8(take(length).to_vec()).expect("a name");
        let mut number = || {
            let bytes = take(8).try_into().expect("eight bytes");
            u64::from_ne_bytes(bytes) as usize
        };
        let (offset, length) = (number(), number());
        let data = match kind {
            Kind::Written => take(length).to_vec(),
            _ => Vec::new(),
        };
        Self {
            kind,
            name,
            offset,
            length,
            data,
        }
    }

    /// Does to the bytes of a file what the note says.
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self.kind {
            Kind::Written => write_at(bytes, self.offset, &self.data),
            Kind::Cut => bytes.resize(self.length, 0),
            _ => {}
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// A file: what of it lasts, and what was done to it since.
#[derive(Debug, Default)]
struct Inode {
    lasting: Vec<u8>,
    since: Vec<Note>,
}

/// What of the files lasts, and what may be lost.
#[derive(Debug, Default)]
pub(crate) struct Left {
    files: Vec<Inode>,
    /// Names, as the process sees them.
    names: BTreeMap<String, usize>,
    /// Names, as they last.
    lasting: BTreeMap<String, usize>,
}

impl Left {
    pub(crate) fn take(&mut self, note: &Note) {
        match note.kind {
            Kind::Made => {
                self.names.insert(note.name.clone(), self.files.len());
                self.files.push(Inode::default());
            }
            Kind::Removed => {
                self.names.remove(&note.name);
            }
            Kind::DirectorySynced => self.lasting = self.names.clone(),
            Kind::Written | Kind::Cut => {
                let file = self.names[&note.name];
                self.files[file].since.push(note.clone());
            }
            Kind::Synced => {
                let Inode { lasting, since } = &mut self.files[self.names[&note.name]];
                for note in since.drain(..) {
                    note.apply(lasting);
                }
            }
        }
    }

    /// Writes to `directory` what a power loss may leave: of what was not synced nothing, all, or
    /// some, sector by sector. Names are those that last, or those of the moment.
    pub(crate) fn lose_power(self, directory: &Path, random: &mut SeededRandom) {
        let Self {
            mut files,
            names,
            lasting,
        } = self;
        let choice = random.below(4);
        let kept = match random.below(2) {
            0 => lasting,
            _ => names,
        };
        for (name, file) in kept {
            let Inode { lasting, since } = std::mem::take(&mut files[file]);
            let mut bytes = lasting;
            for note in since {
                match choice {
                    0 => {}
                    1 => note.apply(&mut bytes),
                    _ => some_of(&note, &mut bytes, random),
                }
            }
            fs::write(directory.join(name), bytes).expect("written");
        }
    }
}

/// Each sector of a write by chance; a cut by chance.
fn some_of(note: &Note, bytes: &mut Vec<u8>, random: &mut SeededRandom) {
    if note.kind != Kind::Written {
        if random.below(2) == 0 {
            note.apply(bytes);
        }
        return;
    }
    let mut start = 0;
    while start < note.data.len() {
        let at = note.offset + start;
        let end = (start + SECTOR - at % SECTOR).min(note.data.len());
        if random.below(2) == 0 {
            write_at(bytes, at, &note.data[start..end]);
        }
        start = end;
    }
}
