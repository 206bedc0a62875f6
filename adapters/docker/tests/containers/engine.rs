//! The engine that the tests use, and what they ask it past the node.

use std::path::Path;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptions, InspectContainerOptions};
use faas_docker::Engine;
use futures::StreamExt;
use tokio::sync::Mutex;

/// An image that holds one static program: BusyBox.
pub(crate) const IMAGE: &str = "faas-test/busybox:1";

/// The engine, as ours and as the client's; `None`, said aloud, where there is none.
pub(crate) async fn engine() -> Option<(Engine, Docker)> {
    let engine = Engine::from_environment().await;
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            assert!(!required(), "FAAS_REQUIRE names docker: {error}");
            eprintln!("skipped: no Docker engine: {error}");
            return None;
        }
    };
    let docker = Docker::connect_with_defaults().expect("as before");
    let docker = docker.negotiate_version().await.expect("as before");
    image(&docker).await;
    Some((engine, docker))
}

/// Whether the absence of an engine is a failure.
pub(crate) fn required() -> bool {
    let required = std::env::var("FAAS_REQUIRE").unwrap_or_default();
    required.split(',').any(|name| name == "docker")
}

/// Has the image be there, without a registry.
pub(crate) async fn image(docker: &Docker) {
    import(docker, IMAGE, || {
        let mut tree = Tree::new();
        tree.file("bin/busybox", Path::new("/bin/busybox"));
        for name in ["bin/sh", "bin/sleep", "bin/head", "bin/tail"] {
            tree.link(name, "busybox");
        }
        tree
    })
    .await;
}

/// Made one at a time: the second of two imports would take the name away from the first.
static IMPORT: Mutex<()> = Mutex::const_new(());

/// Makes an image of a tree, unless it is there.
pub(crate) async fn import(docker: &Docker, image: &str, tree: impl FnOnce() -> Tree) {
    let _alone = IMPORT.lock().await;
    if docker.inspect_image(image).await.is_ok() {
        return;
    }
    let (name, tag) = image.rsplit_once(':').expect("a tag");
    let options = CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some(name.into()),
        tag: Some(tag.into()),
        ..CreateImageOptions::default()
    };
    let bytes = tree().0.into_inner().expect("test set-up");
    let tree = bollard::body_full(bytes.into());
    let mut steps = docker.create_image(Some(options), Some(tree), None);
    while let Some(step) = steps.next().await {
        step.expect("the image is imported");
    }
}

/// A root file system.
pub(crate) struct Tree(tar::Builder<Vec<u8>>);

impl Tree {
    pub(crate) fn new() -> Self {
        let mut tree = Self(tar::Builder::new(Vec::new()));
        for name in ["tmp/", "proc/", "sys/", "dev/", "etc/", "run/"] {
            let mut directory = tar::Header::new_gnu();
            directory.set_entry_type(tar::EntryType::Directory);
            directory.set_mode(0o755);
            directory.set_size(0);
            let appended = tree.0.append_data(&mut directory, name, std::io::empty());
            appended.expect("test set-up");
        }
        tree
    }

    /// A copy of a file, executable.
    pub(crate) fn file(&mut self, name: &str, from: &Path) {
        let bytes = std::fs::read(from);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(bytes.len() as u64);
        let appended = self.0.append_data(&mut header, name, &bytes[..]);
        appended.expect("test set-up");
    }

    pub(crate) fn link(&mut self, name: &str, to: &str) {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        self.0
            .append_link(&mut link, name, to)
            .expect("test set-up");
    }
}

/// Whether a container of that name or id is there, whatever its state.
pub(crate) async fn exists(docker: &Docker, container: &str) -> bool {
    let found = docker.inspect_container(container, None::<InspectContainerOptions>);
    match found.await {
        Ok(_) => true,
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404, ..
        }) => false,
        Err(error) => panic!("{container}: {error}"),
    }
}
