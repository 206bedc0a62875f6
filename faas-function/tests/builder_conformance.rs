//! The builders keep their contract.

use std::path::Path;
use std::sync::Arc;

use faas_core::RuntimeName;
use faas_core::store::MemoryStore;
use faas_function::builder::conformance::{Fixture, GatedCode};
use faas_function::builder::{BuildRequest, CargoBuilder, Chain, Prebuilt, Source};

/// The names of what lies in a directory, but for these.
fn left(directory: &Path, but: &[&str]) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !but.contains(&&**name)).collect()
}

async fn cargo(code: GatedCode) -> Fixture {
    let folder = tempfile::tempdir().expect("set up");
    let runtime = RuntimeName::new("rust").expect("set up");
    let request = |name: &str, main: &str| {
        let root = folder.path().join(name);
        std::fs::create_dir_all(root.join("src")).expect("set up");
        let manifest = "[package]\nname = \"tiny\"\nedition = \"2024\"\n[workspace]\n";
        std::fs::write(root.join("Cargo.toml"), manifest).expect("set up");
        std::fs::write(root.join("src/main.rs"), main).expect("set up");
        BuildRequest::new(runtime.clone(), Source::Directory(root))
    };
    let cache = folder.path().join("cache");
    let builder = CargoBuilder::new(vec![runtime.clone()], Arc::new(code), &cache);
    Fixture {
        builder: Arc::new(builder),
        good: request("good", "fn main() {}"),
        other: request("other", "fn main() { loop {} }"),
        bad: Some((request("bad", "fn main() { absent() }"), "absent")),
        left: Box::new(move || left(&cache, &["lock", "target"])),
        guard: Box::new(folder),
    }
}

mod cargo_builder {
    faas_function::function_builder_conformance!(super::cargo);
}

mod chain {
    use super::{Arc, Chain, Fixture, GatedCode, MemoryStore};

    async fn chain(code: GatedCode) -> Fixture {
        let fixture = super::cargo(code.clone()).await;
        let chain = Chain::new(Arc::new(MemoryStore::new()), Arc::new(code));
        let builder = Arc::new(chain.with(fixture.builder));
        Fixture { builder, ..fixture }
    }

    faas_function::function_builder_conformance!(chain);
}

mod prebuilt {
    use super::{Arc, BuildRequest, Fixture, GatedCode, Prebuilt, RuntimeName, Source};

    async fn prebuilt(code: GatedCode) -> Fixture {
        let folder = tempfile::tempdir().expect("set up");
        let runtime = RuntimeName::new("provided").expect("set up");
        let request = |name: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, name).expect("set up");
            BuildRequest::new(runtime.clone(), Source::File(file))
        };
        let (good, other) = (request("good"), request("other"));
        let directory = folder.path().to_owned();
        Fixture {
            builder: Arc::new(Prebuilt::new(vec![runtime.clone()], Arc::new(code))),
            good,
            other,
            bad: None,
            left: Box::new(move || super::left(&directory, &["good", "other"])),
            guard: Box::new(folder),
        }
    }

    faas_function::function_builder_conformance!(prebuilt);
}
