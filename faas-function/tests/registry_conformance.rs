//! The registry's defaults keep their contracts.

mod metadata {
    use faas_core::store::MemoryStore;
    use faas_function::registry::StoreMetadata;
    use std::sync::Arc;

    faas_function::metadata_store_conformance!(async || StoreMetadata::new(Arc::new(
        MemoryStore::new()
    )));
}

mod code {
    use faas_function::registry::ObjectCode;
    use object_store::memory::InMemory;
    use std::sync::Arc;

    faas_function::code_store_conformance!(async || ObjectCode::new(Arc::new(InMemory::new())));
}
