//! One span for each invocation, for whoever records spans. By itself in its process: tracing caches
//! for all threads whether anybody is interested.

#[expect(dead_code, reason = "it serves the other tests of the router, too")]
#[path = "slot_router/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use faas_core::{InvocationId, TraceContext};
use faas_function::router::SlotRouterOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use stage::{Mood, Stage};

/// A span's name, and its fields.
type Spans = Vec<(&'static str, BTreeMap<&'static str, String>)>;

/// Keeps the spans of the router.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Spans>>);

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("faas_function::router")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().expect("nobody panics");
        let mut fields = BTreeMap::new();
        span.record(&mut Fields(&mut fields));
        spans.push((span.metadata().name(), fields));
        Id::from_u64(spans.len() as u64)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut spans = self.0.lock().expect("nobody panics");
        let (_, fields) = &mut spans[span.into_u64() as usize - 1];
        values.record(&mut Fields(fields));
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn each_invocation_has_a_span_with_its_function_its_id_and_its_trace() {
    let collector = Collector::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let trace = TraceContext {
        trace_id: 7,
        parent_id: 9,
        flags: 1,
    };
    let ids: [InvocationId; 2] = tracing::subscriber::with_default(collector.clone(), || {
        runtime.block_on(async {
            let stage = Stage::new(SlotRouterOptions::default()).await;
            stage.add(Mood::Well);
            let calls = [stage.call(), stage.call().with_trace(trace)];
            let ids = [calls[0].id, calls[1].id];
            for call in calls {
                stage.run(call).await.expect("it runs");
            }
            ids
        })
    });
    let spans = collector.0.lock().expect("nobody panics").clone();
    assert_eq!(spans.len(), 2, "{spans:?}");
    for ((name, fields), id) in spans.iter().zip(ids) {
        assert_eq!(*name, "invoke");
        assert_eq!(fields["function"], "default/echo");
        assert_eq!(fields["invocation"], id.to_string());
    }
    assert!(!spans[0].1.contains_key("trace_id"), "{spans:?}");
    assert_eq!(spans[1].1["trace_id"], format!("{:032x}", 7));
    assert_eq!(spans[1].1["parent_id"], format!("{:016x}", 9));
}
