//! What a dead platform must not leave: processes, sockets, directories of sandboxes.

use std::path::Path;
use std::time::Duration;

/// The processes, other than the victim, that have the directory in their environment. A zombie
/// has none.
pub(crate) fn processes(directory: &Path) -> Vec<u32> {
    let directory = directory.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let ours = processes.filter_map(|process| {
        let number = process.file_name().to_str()?.parse().ok()?;
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let sandbox = has(&environment, b"FAAS_SOCKET=") && has(&environment, directory);
        sandbox.then_some(number)
    });
    ours.collect()
}

fn has(environment: &[u8], part: &[u8]) -> bool {
    environment.windows(part.len()).any(|window| window == part)
}

/// Waits until no process of a dead platform is left.
pub(crate) fn none(directory: &Path, when: &str) {
    for _ in 0..10_000 {
        if processes(directory).is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("processes are left {when}: {:?}", processes(directory));
}

/// Neither directories nor sockets of sandboxes are left after a shutdown.
pub(crate) fn no_sandbox(directory: &Path) {
    let sandboxes = std::fs::read_dir(directory.join("p").join("sandboxes"));
    let left: Vec<_> = sandboxes.into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "sandboxes are left: {left:?}");
    let mut sockets = Vec::new();
    find_sockets(directory, &mut sockets);
    assert!(sockets.is_empty(), "sockets are left: {sockets:?}");
}

fn find_sockets(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    use std::os::unix::fs::FileTypeExt;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            find_sockets(&entry.path(), found);
        } else if kind.is_socket() {
            found.push(entry.path());
        }
    }
}
