//! The engine that the tests use, and what they ask it past the node.

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptions, InspectContainerOptions};
use faas_docker::Engine;
use futures::StreamExt;

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
    if docker.inspect_image(IMAGE).await.is_ok() {
        return;
    }
    let options = CreateImageOptions {
        from_src: Some("-".into()),
        repo: Some("faas-test/busybox".into()),
        tag: Some("1".into()),
        ..CreateImageOptions::default()
    };
    let tree = bollard::body_full(tree().into());
    let mut steps = docker.create_image(Some(options), Some(tree), None);
    while let Some(step) = steps.next().await {
        step.expect("the image is imported");
    }
}

/// A root file system of BusyBox alone, from Debian's `busybox-static`.
fn tree() -> Vec<u8> {
    let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    let appended = tar.append_data(&mut header, "bin/busybox", &program[..]);
    appended.expect("test set-up");
    for name in ["bin/sh", "bin/sleep", "bin/cat", "bin/nc", "bin/httpd"] {
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        let appended = tar.append_link(&mut link, name, "busybox");
        appended.expect("test set-up");
    }
    for name in ["tmp/", "proc/", "sys/", "dev/", "etc/", "run/"] {
        let mut directory = tar::Header::new_gnu();
        directory.set_entry_type(tar::EntryType::Directory);
        directory.set_mode(0o755);
        directory.set_size(0);
        let appended = tar.append_data(&mut directory, name, std::io::empty());
        appended.expect("test set-up");
    }
    tar.into_inner().expect("test set-up")
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
