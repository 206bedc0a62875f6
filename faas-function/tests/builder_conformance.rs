//! The builders keep their contract.

use std::sync::Arc;

use faas_core::RuntimeName;
use faas_core::store::MemoryStore;
use faas_function::CodeStore;
use faas_function::builder::conformance::Fixture;
use faas_function::builder::{BuildRequest, CargoBuilder, Chain, Prebuilt, Source};
use faas_function::registry::ObjectCode;
use object_store::memory::InMemory;

fn cargo() -> (Fixture, Arc<dyn CodeStore>) {
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
    let code: Arc<dyn CodeStore> = Arc::new(ObjectCode::new(Arc::new(InMemory::new())));
    let cache = folder.path().join("cache");
    let fixture = Fixture {
        builder: Box::new(CargoBuilder::new(
            vec![runtime.clone()],
            code.clone(),
            cache,
        )),
        good: request("good", "fn main() {}"),
        other: request("other", "fn main() { loop {} }"),
        bad: Some((request("bad", "fn main() { absent() }"), "absent")),
        guard: Box::new(()),
    };
    let guard = Box::new(folder);
    (Fixture { guard, ..fixture }, code)
}

mod cargo_builder {
    faas_function::function_builder_conformance!(async || super::cargo().0);
}

mod chain {
    use super::{Arc, Chain, Fixture, MemoryStore};

    faas_function::function_builder_conformance!(async || {
        let (fixture, code) = super::cargo();
        let chain = Chain::new(Arc::new(MemoryStore::new()), code).with(fixture.builder);
        let builder = Box::new(chain);
        Fixture { builder, ..fixture }
    });
}

mod prebuilt {
    use super::{Arc, BuildRequest, Fixture, InMemory, ObjectCode, Prebuilt, RuntimeName, Source};

    faas_function::function_builder_conformance!(async || {
        let folder = tempfile::tempdir().expect("set up");
        let runtime = RuntimeName::new("provided").expect("set up");
        let request = |name: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, name).expect("set up");
            BuildRequest::new(runtime.clone(), Source::File(file))
        };
        let code = Arc::new(ObjectCode::new(Arc::new(InMemory::new())));
        Fixture {
            builder: Box::new(Prebuilt::new(vec![runtime.clone()], code)),
            good: request("good"),
            other: request("other"),
            bad: None,
            guard: Box::new(folder),
        }
    });
}
