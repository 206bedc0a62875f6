//! What a release of the resource layer has written is read for ever: the files in `golden` hold what
//! each version of a stored value looked like, and are never edited.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::store::{Batch, Key, KeyRange, Precondition, Revision, Scan, Space};
use faas_core::{
    ByteSize, Digest, MemoryStore, Millicpu, Monotonic, Name, NodeName, PolicyContext, Resources,
    SeededRandom, Store, TokioClock, WorkloadId,
};
use faas_memory::{Handlers, MemoryNode};
use faas_resource::naming::{Bind, Path, StoreNaming};
use faas_resource::scheduler::conformance::world::{cluster, node, replicas, workload};
use faas_resource::scheduler::{FilterScore, ResourceScheduler};
use faas_resource::spec::{Packing, Program};
use faas_resource::workload::{Constraint, PlacementRules, Priority};
use faas_resource::{
    Executable, NamingService, ResourceLayer, ResourceManager, SandboxSpec, WorkloadSpec,
};

const WORKLOADS: Space = Space::unwatched("workloads");
const NAMES: Space = Space::watched("naming");
const LEASES: Space = Space::watched("naming-leases");

/// Fails with what was written, where that is not what the file holds.
fn same(written: &[u8], golden: &[u8]) {
    let golden = golden.strip_suffix(b"\n").unwrap_or(golden);
    let (written, golden) = (written.escape_ascii(), golden.escape_ascii());
    assert_eq!(written.to_string(), golden.to_string());
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A workload that sets everything.
fn spec() -> WorkloadSpec {
    let program = Program {
        code: Digest::of(b"code"),
        packing: Packing::Tar,
        entrypoint: "bin/run".into(),
        arguments: vec!["--fast".into()],
    };
    let mut sandbox = SandboxSpec::new(Executable::Program(program));
    sandbox
        .environment
        .insert("GREETING".into(), "hello".into());
    sandbox.code_root_variables.insert("ROOT".into());
    sandbox.resources = Resources::new(Millicpu(250), ByteSize::mib(64));
    sandbox.resources.extended.insert(name("gpu"), 1);
    sandbox.labels.insert(name("team"), name("shop"));
    sandbox.grace = Duration::from_millis(1500);
    let mut spec = WorkloadSpec::new(WorkloadId::from_u128(42), sandbox);
    (spec.min, spec.max, spec.priority) = (0, 7, Priority(-3));
    spec.rules.constraints = vec![
        Constraint::Unique(name("node")),
        Constraint::Cluster(name("arch"), name("x86")),
        Constraint::GroupBy(name("zone")),
        Constraint::Like(name("zone"), [name("a"), name("b")].into()),
        Constraint::Unlike(name("rack"), [name("r1")].into()),
        Constraint::MaxPer(name("rack"), 2),
    ];
    spec.rules.tolerates.insert(name("spot"));
    spec.rules.prefers.insert(name("disk"), name("ssd"));
    spec.rules.near.insert(WorkloadId::from_u128(7));
    spec.rules.apart.insert(WorkloadId::from_u128(8));
    spec
}

async fn layer(store: Arc<dyn Store>) -> ResourceLayer {
    let node: NodeName = "one".parse().expect("a name");
    let node = MemoryNode::new(node, Arc::new(Handlers::new()));
    let layer = ResourceLayer::builder()
        .agent(Arc::new(node))
        .scheduler(FilterScore::new())
        .store(store);
    layer.build().await.expect("a layer")
}

async fn only(store: &MemoryStore, space: Space, prefix: Key) -> (Key, Bytes) {
    let scan = Scan::new(space, KeyRange::prefix(prefix));
    let mut entries = store.scan(scan).await.expect("it answers").entries;
    assert_eq!(entries.len(), 1, "{entries:?}");
    let entry = entries.pop().expect("one");
    (entry.key, entry.value)
}

async fn put(store: &MemoryStore, space: Space, key: Key, value: &'static [u8]) {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let batch = Batch::new().put(space, key, value, Precondition::Any);
    store.commit(batch).await.expect("it is stored");
}

#[tokio::test(start_paused = true)]
async fn workloads() {
    const V1: &[u8] = include_bytes!("golden/workload-v1.json");
    let store = Arc::new(MemoryStore::new());
    let ours = layer(store.clone()).await;
    ours.manager().apply(spec()).await.expect("a good spec");
    let (key, value) = only(&store, WORKLOADS, Key::empty()).await;
    same(&value, V1);
    drop(ours);
    let old = Arc::new(MemoryStore::new());
    put(&old, WORKLOADS, key, V1).await;
    let next = layer(old).await;
    let read = next.manager().get(spec().id).await.expect("it is read");
    assert_eq!(*read.spec, spec());
}

/// What is kept with each sandbox; were it another in the next release, its start would replace
/// every sandbox that it adopts.
#[test]
fn digests() {
    let golden = include_str!("golden/workload-digest-v1.txt").trim_end();
    assert_eq!(spec().digest().expect("a digest").to_string(), golden);
}

#[tokio::test(start_paused = true)]
async fn names_and_leases() {
    const NAME: &[u8] = include_bytes!("golden/name-v1.bin");
    const LEASED: &[u8] = include_bytes!("golden/leased-name-v1.bin");
    const LEASE: &[u8] = include_bytes!("golden/lease-v1.json");
    let clock = Arc::new(TokioClock::for_paused_time());
    let store = Arc::new(MemoryStore::new());
    let naming = StoreNaming::new(store.clone(), clock.clone());
    let path = Path::new("sandboxes/one/a").expect("a path");
    naming
        .bind(Bind::new(path.clone(), "value"))
        .await
        .expect("it is bound");
    let (key, value) = only(&store, NAMES, Key::new("name")).await;
    same(&value, NAME);
    let lease = naming.grant(Duration::from_millis(2500)).await;
    let lease = lease.expect("a lease");
    let (_, value) = only(&store, LEASES, Key::empty()).await;
    same(&value, LEASE);
    // A lease's number is drawn at random; in the files it is 7.
    let lease_key = Key::empty().number(7);
    let old = Arc::new(MemoryStore::new());
    put(&old, NAMES, key.clone(), NAME).await;
    put(&old, LEASES, lease_key, LEASE).await;
    let next = StoreNaming::new(old.clone(), clock);
    let read = next.resolve(&path).await.expect("it answers");
    let read = read.expect("it is bound");
    assert_eq!((&read.value[..], read.lease), (&b"value"[..], None));
    assert_eq!(read.revision, Revision(1));
    let seven = faas_resource::naming::LeaseId(7);
    next.renew(seven).await.expect("it is read, and lives");
    put(&old, NAMES, key, LEASED).await;
    let read = next.resolve(&path).await.expect("it answers");
    assert_eq!(read.expect("it is bound").lease, Some(seven));
    assert_ne!(lease, seven);
}

#[test]
fn schedulers() {
    const V1: &[u8] = include_bytes!("golden/filter-score-v1.json");
    let mut rules = PlacementRules::default();
    rules.apart.insert(WorkloadId::from_u128(2));
    let cluster = cluster((0..3).map(|number| node(number, 4)));
    let batch = replicas(&workload(1, 1, rules, 0), 1, 1);
    let mut scheduler = FilterScore::new().comparing(1);
    let mut context = PolicyContext::new(Monotonic::ZERO, SeededRandom::new(1));
    scheduler.schedule(&mut context, &cluster, &batch);
    same(&scheduler.save(), V1);
    let mut next = FilterScore::new().comparing(1);
    next.restore(V1).expect("it is read");
    assert_eq!(next.save(), scheduler.save());
}
