//! Building Rust source trees with cargo.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use faas_core::store::MemoryStore;
use faas_core::{ByteSize, ErrorKind, Result, RuntimeName, TokioClock};
use faas_function::builder::{Artifact, BuildEvent, BuildRequest, CargoBuilder, Chain, Source};
use faas_function::registry::ObjectCode;
use faas_function::{CodeStore, FunctionBuilder};
use faas_resource::Executable;
use futures::StreamExt;
use object_store::memory::InMemory;

fn code() -> Arc<dyn CodeStore> {
    Arc::new(ObjectCode::new(Arc::new(InMemory::new())))
}

fn runtime(name: &str) -> RuntimeName {
    RuntimeName::new(name).expect("a name")
}

fn request(root: &Path) -> BuildRequest {
    BuildRequest::new(runtime("rust"), Source::Directory(root.into()))
}

fn builder(cache: &Path) -> CargoBuilder {
    CargoBuilder::new(vec![runtime("rust")], code(), cache)
}

async fn end(builder: &impl FunctionBuilder, request: BuildRequest) -> Result<Artifact> {
    let events: Vec<_> = builder.build(request).collect().await;
    let last = events.into_iter().last().expect("an end");
    last.map(|event| match event {
        BuildEvent::Done(artifact) => artifact,
        other => panic!("{other:?}"),
    })
}

fn write(root: &Path, main: &str) {
    std::fs::create_dir_all(root.join("src")).expect("written");
    let manifest =
        "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(root.join("Cargo.toml"), manifest).expect("written");
    std::fs::write(root.join("src/main.rs"), main).expect("written");
}

#[tokio::test]
async fn cargo_builds_fails_with_its_log_and_leaves_the_source() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), "fn main() {}");
    let code = code();
    let cargo = CargoBuilder::new(vec![runtime("rust")], code.clone(), cache.path());
    let chain = Chain::new(Arc::new(MemoryStore::new()), code.clone()).with(cargo);
    let request = request(root.path());
    let (one, two) = tokio::join!(end(&chain, request.clone()), end(&chain, request.clone()));
    let one = one.unwrap();
    assert_eq!(one, two.unwrap());
    assert_eq!(chain.cache_key(&request).await.unwrap(), one.cache_key);
    assert!(!root.path().join("Cargo.lock").exists());
    assert!(!cache.path().join("source").exists());
    write(root.path(), "fn main() { no_such_thing() }");
    assert_ne!(chain.cache_key(&request).await.unwrap(), one.cache_key);
    let error = end(&chain, request.clone()).await.unwrap_err();
    assert!(error.message().contains("no_such_thing"), "{error}");
    let mut bad = request;
    bad.options = [
        ("manifest".into(), "../Cargo.toml".into()),
        ("x".into(), "y".into()),
    ]
    .into();
    let error = end(&chain, bad).await.unwrap_err();
    assert!(error.message().starts_with("2 faults"), "{error}");
}

/// A workspace of a function and a library that it depends on by a path.
fn write_workspace(root: &Path) {
    let file = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("written");
        std::fs::write(path, text).expect("written");
    };
    file(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"function\", \"library\"]\n",
    );
    file(
        "Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"function\"\nversion = \"0.0.0\"\n\
         dependencies = [\n \"library\",\n]\n\n\
         [[package]]\nname = \"library\"\nversion = \"0.0.0\"\n",
    );
    file(
        "function/Cargo.toml",
        "[package]\nname = \"function\"\nedition = \"2024\"\n\
         [dependencies]\nlibrary = { path = \"../library\" }\n",
    );
    file(
        "function/src/main.rs",
        "fn main() { println!(\"{}\", library::answer()) }",
    );
    file(
        "library/Cargo.toml",
        "[package]\nname = \"library\"\nedition = \"2024\"\n",
    );
    file("library/src/lib.rs", "pub fn answer() -> u32 { 42 }");
}

#[tokio::test]
async fn a_workspace_with_path_dependencies_is_built_offline() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_workspace(root.path());
    let mut request = request(root.path());
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    request.options = [
        option("package", "function"),
        option("offline", "true"),
        option("locked", "true"),
    ]
    .into();
    let code = code();
    let cargo = CargoBuilder::new(vec![runtime("rust")], code.clone(), cache.path());
    let artifact = end(&cargo, request).await.expect("it is built");
    let Executable::Program(program) = artifact.executable else {
        panic!("no program");
    };
    assert_eq!(program.entrypoint, Path::new("function"));
    let built = cache.path().join("built");
    std::fs::write(&built, code.get(&program.code).await.unwrap()).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&built, mode).unwrap();
    let said = Command::new(&built).output().expect("it runs").stdout;
    assert_eq!(String::from_utf8_lossy(&said), "42\n");
}

/// What `an_outer_cargo_is_not_inherited` runs in a process of its own.
#[tokio::test]
async fn victim() {
    let Some(root) = std::env::var_os("FAAS_TEST_SOURCE") else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let built = end(&builder(cache.path()), request(Path::new(&root))).await;
    built.expect("it is built");
    assert!(cache.path().join("target").exists());
}

#[test]
fn an_outer_cargo_is_not_inherited() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "const _: () = assert!(option_env!(\"RUSTC_WRAPPER\").is_none());\n\
         const _: () = assert!(option_env!(\"PASSWORD\").is_none());\n\
         fn main() {}",
    );
    let target = root.path().join("outer");
    let mut outer = Command::new(std::env::current_exe().unwrap());
    outer.args(["--exact", "victim", "--nocapture"]);
    outer.env("FAAS_TEST_SOURCE", root.path());
    let foreign = [
        ("CARGO", "/nonexistent/cargo"),
        ("RUSTC", "/nonexistent/rustc"),
        ("RUSTC_WRAPPER", "/nonexistent/wrapper"),
        ("CARGO_BUILD_TARGET", "nonsense"),
        ("CARGO_ENCODED_RUSTFLAGS", "--nonsense"),
        ("RUSTFLAGS", "--nonsense"),
        ("CARGO_MAKEFLAGS", "--jobserver-fds=1000,1001 -j"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "nonsense"),
        ("PASSWORD", "secret"),
    ];
    outer.envs(foreign).env("CARGO_TARGET_DIR", &target);
    let output = outer.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert!(!target.exists(), "built where the outer cargo builds");
}

#[tokio::test]
async fn what_is_added_to_the_environment_is_seen_and_changes_the_key() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(
        root.path(),
        "const _: &str = env!(\"FLAVOUR\");\nfn main() {}",
    );
    let plain = builder(cache.path());
    let request = request(root.path());
    let error = end(&plain, request.clone()).await.unwrap_err();
    assert!(error.message().contains("FLAVOUR"), "{error}");
    let sweet = plain.clone().environment("FLAVOUR", "sweet");
    let built = end(&sweet, request.clone()).await.expect("it is built");
    let key = plain.cache_key(&request).await.unwrap();
    assert_ne!(built.cache_key, key);
}

#[tokio::test]
async fn caches_in_the_tree_are_no_part_of_it() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), "fn main() {}");
    let cargo = builder(cache.path());
    let request = request(root.path());
    let before = cargo.cache_key(&request).await.unwrap();
    let tagged = root.path().join("fuzz/target");
    std::fs::create_dir_all(&tagged).unwrap();
    std::fs::write(tagged.join("CACHEDIR.TAG"), "Signature: 8a477f597d28d172").unwrap();
    assert_eq!(cargo.cache_key(&request).await.unwrap(), before);
    std::fs::write(root.path().join("fuzz/seen"), "").unwrap();
    assert_ne!(cargo.cache_key(&request).await.unwrap(), before);
}

#[tokio::test]
async fn a_cache_is_used_by_one_builder_and_bounded() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), "fn main() {}");
    let lock = std::fs::File::create(cache.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let cargo = builder(cache.path()).cache_bound(ByteSize(1));
    let error = end(&cargo, request(root.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    drop(lock);
    end(&cargo, request(root.path()))
        .await
        .expect("it is built");
    assert!(!cache.path().join("target").exists(), "it has outgrown 1 B");
}

#[tokio::test]
async fn a_build_that_does_not_end_is_ended() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(root.path(), "fn main() {}");
    std::fs::write(
        root.path().join("build.rs"),
        "fn main() { loop { std::thread::park() } }",
    )
    .unwrap();
    let clock = Arc::new(TokioClock::new());
    let cargo = builder(cache.path()).timeout(Duration::from_secs(2), clock);
    let error = end(&cargo, request(root.path())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
}

#[tokio::test]
async fn a_source_that_is_not_there_is_told_of() {
    let cache = tempfile::tempdir().unwrap();
    let mut absent = request(Path::new("/nonexistent"));
    absent.options = [("x".into(), "y".into())].into();
    let error = end(&builder(cache.path()), absent).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().starts_with("2 faults"), "{error}");
}

/// Whether a process of that id is there and no zombie.
#[cfg(target_os = "linux")]
fn runs(id: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim()));
    state.is_ok_and(|state| !state.contains(") Z "))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dropped_build_leaves_no_process_and_no_file() {
    let (root, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let note = tempfile::tempdir().unwrap();
    let file = note.path().join("pid");
    write(root.path(), "fn main() {}");
    let script = format!(
        "fn main() {{ std::fs::write({file:?}, std::process::id().to_string()).unwrap(); loop {{ std::thread::park(); }} }}"
    );
    std::fs::write(root.path().join("build.rs"), script).unwrap();
    let cargo = builder(cache.path());
    let request = request(root.path());
    let mut events = cargo.build(request);
    let started = async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(id) if !id.is_empty() => return id,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let drain = async {
        while events.next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    let patience = std::time::Duration::from_secs(60);
    let id = tokio::time::timeout(patience, async {
        tokio::select! { id = started => id, () = drain => String::new() }
    });
    let id = id.await.expect("the build script starts");
    assert!(runs(&id));
    drop(events);
    let gone = async {
        while runs(&id) || cache.path().join("source").exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, gone)
        .await
        .expect("all is gone");
}
