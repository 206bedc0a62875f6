//! The plan: a pure function of a revision, what is asked, and what contracts there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use faas_core::explain::Reason;
use faas_core::{
    Digest, Error, InstanceId, Name, Namespace, Result, RevisionNumber, RuntimeName, SandboxId,
    WorkloadId,
};
use faas_resource::{Hooks, SandboxSpec, WorkloadSpec};

use super::{Deploy, Plan};
use crate::contract::Contract;
use crate::registry::{FunctionId, FunctionRevision, RevisionId};

const REPLICAS: Reason = Reason::new(
    "plan.replicas",
    "{replicas} replicas of {function}@{revision}",
);
const BOUNDED: Reason = Reason::new(
    "plan.bounded",
    "{asked} were asked for, {min}..={max} are allowed",
)
.helped_by("raise the function's max_instances");

const PLAN: &str = "plan deployment";

/// The contracts of a deployer, by the runtime that names them.
pub type Contracts = BTreeMap<RuntimeName, Arc<dyn Contract>>;

/// The workload of a revision: the same one in every life of the platform.
pub fn workload_id(revision: &RevisionId) -> WorkloadId {
    let name = format!("{}@{}", revision.function, revision.number);
    let hex = Digest::of(name.as_bytes()).hex();
    // The first half of the digest: 128 bits, which every hexadecimal text of 32 digits holds.
    WorkloadId::from_u128(u128::from_str_radix(&hex[..32], 16).unwrap_or_default())
}

/// The revision of a workload; `None` if it is not one of a function.
pub fn revision_id(workload: &WorkloadSpec) -> Option<RevisionId> {
    let label = |key: &str| workload.sandbox.labels.get(&Name::new(key).ok()?);
    let function = FunctionId {
        namespace: Namespace::new(label("namespace")?.as_str()).ok()?,
        name: label("function")?.clone(),
    };
    let number = RevisionNumber(label("revision")?.as_str().parse().ok()?);
    let revision = RevisionId { function, number };
    (workload_id(&revision) == workload.id).then_some(revision)
}

/// An instance goes by the number of its sandbox.
pub fn instance_id(sandbox: SandboxId) -> InstanceId {
    InstanceId::from_u128(sandbox.as_u128())
}

/// The sandbox of an instance.
pub fn sandbox_id(instance: InstanceId) -> SandboxId {
    SandboxId::from_u128(instance.as_u128())
}

/// How `request` is carried out with these contracts, on a manager that offers these hooks.
///
/// The sandbox's environment is the contract's and the function's own, merged as
/// [`SandboxEnvironment`](crate::contract::SandboxEnvironment) says.
///
/// # Errors
/// `Unsupported` where runtime, executable, contract and manager do not fit together, and nothing
/// else is wrong; otherwise `InvalidArgument` with every fault of the configuration, variables that
/// the contract reserves among them.
pub fn plan(request: &Deploy, contracts: &Contracts, hooks: Option<&Hooks>) -> Result<Plan> {
    let revision = &request.revision;
    let own = &revision.config.environment;
    let mut faults = revision.config.faults();
    let (contract, environment) = match contract(revision, contracts) {
        Ok(contract) => {
            let environment = contract.environment(revision);
            faults.extend(environment.faults(own));
            (contract, environment)
        }
        Err(error) if faults.is_empty() => return Err(error),
        Err(error) => {
            faults.push(error.message().to_owned());
            return Err(Error::check(PLAN, faults).err().unwrap_or(error));
        }
    };
    Error::check(PLAN, faults)?;
    let mut sandbox = SandboxSpec::new(revision.config.executable.clone());
    sandbox.environment = environment.merge(own);
    sandbox.code_root_variables = environment.code_root;
    sandbox.resources.clone_from(&revision.config.resources);
    sandbox.extensions.clone_from(&revision.config.extensions);
    sandbox.labels = labels(revision)?;
    if let Some((name, _)) = contract.hook() {
        if hooks.is_none_or(|hooks| hooks.get(&name).is_none()) {
            let message = format!(
                "{}@{}: runtime {} needs the hook {name} before each start, which this resource \
                 manager does not offer",
                revision.function, revision.number, revision.config.runtime
            );
            return Err(Error::unsupported(PLAN, message));
        }
        sandbox.hook = Some(name);
    }
    let mut workload = WorkloadSpec::new(workload_id(&revision.id()), sandbox);
    (workload.min, workload.max) = (revision.config.min_instances, revision.config.max_instances);
    workload.validate()?;
    let replicas = request.instances.clamp(workload.min, workload.max);
    Ok(Plan {
        reasons: reasons(request, replicas),
        workload,
        replicas,
    })
}

/// The contract of a revision, if it can speak to the revision's kind of executable.
///
/// # Errors
/// `Unsupported` otherwise.
pub fn contract(revision: &FunctionRevision, contracts: &Contracts) -> Result<Arc<dyn Contract>> {
    let runtime = &revision.config.runtime;
    let Some(contract) = contracts.get(runtime) else {
        let known: Vec<_> = contracts.keys().map(RuntimeName::as_str).collect();
        let known = known.join(", ");
        let message = format!(
            "{}: no contract for runtime {runtime}; there are: {known}",
            revision.function
        );
        return Err(Error::unsupported(PLAN, message));
    };
    let kind = revision.config.executable.kind();
    if !contract.executables().contains(&kind) {
        let message = format!(
            "{}: runtime {runtime} cannot run a {kind:?}",
            revision.function
        );
        return Err(Error::unsupported(PLAN, message));
    }
    Ok(contract.clone())
}

fn labels(revision: &FunctionRevision) -> Result<BTreeMap<Name, Name>> {
    let label = |key: &str, value: &str| Ok((Name::new(key)?, Name::new(value)?));
    [
        label("namespace", revision.function.namespace.as_str()),
        label("function", revision.function.name.as_str()),
        label("revision", &revision.number.to_string()),
    ]
    .into_iter()
    .collect()
}

fn reasons(request: &Deploy, replicas: u32) -> Vec<Reason> {
    let revision = &request.revision;
    let mut reasons = vec![
        REPLICAS
            .with("replicas", replicas)
            .with("function", revision.function.to_string())
            .with("revision", revision.number.0),
    ];
    if replicas != request.instances {
        let config = &revision.config;
        let bounded = BOUNDED.with("asked", request.instances);
        reasons.push(
            bounded
                .with("min", config.min_instances)
                .with("max", config.max_instances),
        );
    }
    reasons
}
