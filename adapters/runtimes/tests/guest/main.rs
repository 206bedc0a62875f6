//! The guest library in a child process: this very test program is the function.

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::sync::Arc;
    use std::time::Duration;

    use faas_core::{
        Caller, Clock, Completed, Digest, FunctionError, HandlerCall, HandlerReply, HookName,
        InstanceId, Invocation, InvocationId, Name, Namespace, Outcome, Payload, RevisionNumber,
        RuntimeName, SandboxId, TokioClock,
    };
    use faas_function::Contract;
    use faas_function::contract::Connect;
    use faas_function::instance::{FunctionInstance, Permit, SlotOwner};
    use faas_function::registry::{FunctionConfig, FunctionId, FunctionRevision};
    use faas_resource::endpoint::Address;
    use faas_resource::hook::Reach;
    use faas_resource::spec::{Packing, Program};
    use faas_resource::{Executable, SandboxHook};
    use faas_runtimes::{FramedSocket, framed};
    use futures::future::join_all;
    use serde_json::{Value, json};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::process::{Child, Command};

    const SOON: Duration = Duration::from_secs(60);

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        let bounded = tokio::time::timeout(SOON, future).await;
        bounded.expect("it comes in time")
    }

    /// Waits at the socket that the payload names until it closes.
    async fn gate(payload: &Value) -> Result<(), FunctionError> {
        let socket = payload["gate"].as_str().unwrap_or_default();
        let closed = |error: std::io::Error| FunctionError::new("Gate", error.to_string());
        let mut gate = TcpStream::connect(socket).await.map_err(closed)?;
        let mut nothing = tokio::io::sink();
        tokio::io::copy(&mut gate, &mut nothing)
            .await
            .map_err(closed)?;
        Ok(())
    }

    async fn handle(call: HandlerCall) -> Result<HandlerReply, FunctionError> {
        let payload: Value = call.payload.to_json()?;
        match payload["do"].as_str() {
            Some("panic") => panic!("on purpose"),
            Some("hold") => gate(&payload).await?,
            _ => {}
        }
        let left = call
            .deadline
            .map(|at| at.since(framed::guest::clock().now()));
        let answer = json!({
            "key": call.idempotency_key.as_deref(),
            "who": call.caller.identity.as_deref(),
            "colour": call.attributes.get("colour"),
            "left": left.map(|left| left.as_secs()),
            "function": std::env::var(framed::FUNCTION).ok(),
        });
        Ok(Payload::json(&answer)?.into())
    }

    /// What runs in the child; in the parent it has nothing to do.
    #[test]
    fn guest() {
        if std::env::var_os(framed::SOCKET).is_none() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let served = runtime.block_on(framed::guest::run(handle));
        std::process::exit(if served.is_ok() { 0 } else { 1 });
    }

    struct Nobody;

    impl SlotOwner for Nobody {
        fn released(&self, _: InstanceId) {}
    }

    struct Sandbox {
        instance: Arc<dyn FunctionInstance>,
        child: Child,
        _contract: FramedSocket,
        _root: tempfile::TempDir,
    }

    async fn start(concurrency: u32) -> Sandbox {
        let clock = Arc::new(TokioClock::new());
        let contract = FramedSocket::new(HookName::new("framed").expect("a name"), clock);
        let program = Program {
            code: Digest::of(b"this program"),
            packing: Packing::File,
            entrypoint: "guest".into(),
            arguments: Vec::new(),
        };
        let runtime = RuntimeName::new("framed").expect("a name");
        let mut config = FunctionConfig::new(runtime, Executable::Program(program));
        config.concurrency = concurrency;
        let function = FunctionId {
            namespace: Namespace::default_namespace(),
            name: Name::new("guest").expect("a name"),
        };
        let number = RevisionNumber(3);
        let revision = Arc::new(FunctionRevision {
            function,
            number,
            config,
        });
        let root = tempfile::tempdir().expect("a directory");
        let (id, host) = (SandboxId::from_u128(1), root.path().to_owned());
        let reach = Reach::Mount {
            guest: host.clone(),
            host,
        };
        let prepared = contract.prepare(id, Some(reach)).await.expect("a socket");
        let environment = contract.environment(&revision);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["tests::guest", "--exact", "--nocapture"])
            .env_clear()
            .envs(environment.merge(&revision.config.environment))
            .envs(prepared.environment)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("a child");
        let connect = Connect::new(id, InstanceId::from_u128(1), Address::Hook.into(), revision);
        let instance = soon(contract.connect(connect)).await.expect("it is ready");
        Sandbox {
            instance,
            child,
            _contract: contract,
            _root: root,
        }
    }

    fn call(number: u128, payload: &Value) -> Invocation {
        let payload = Payload::json(payload).expect("JSON");
        let function = "guest".parse().expect("a name");
        Invocation::new(InvocationId::from_u128(number), function, payload)
    }

    impl Sandbox {
        async fn run(&self, invocation: Invocation) -> Completed {
            let permit = Permit::new(Arc::new(Nobody), self.instance.id());
            let answer = soon(self.instance.invoke(invocation, permit)).await;
            soon(answer.expect("it answers").collect(1 << 20))
                .await
                .expect("it ends")
        }
    }

    #[tokio::test]
    async fn a_call_arrives_as_it_was_sent() {
        let sandbox = start(1).await;
        let mut invocation = call(1, &json!({})).with_attribute("colour", "red");
        invocation.idempotency_key = Some("once".into());
        invocation.caller = Caller::default().with_identity("me");
        let answer: Value = sandbox
            .run(invocation)
            .await
            .payload
            .to_json()
            .expect("JSON");
        let left = answer["left"].as_u64().expect("a deadline");
        assert!((1..=60).contains(&left), "{left}");
        let expected = json!({
            "key": "once", "who": "me", "colour": "red", "left": left,
            "function": "default/guest@3",
        });
        assert_eq!(answer, expected);
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_it_serves_on() {
        let sandbox = start(1).await;
        let failed = sandbox.run(call(1, &json!({"do": "panic"}))).await;
        let Outcome::Failure(error) = failed.trailer.outcome else {
            panic!("it succeeded");
        };
        assert_eq!(
            (&*error.kind, &*error.message),
            (FunctionError::PANIC, "on purpose")
        );
        let answered = sandbox.run(call(2, &json!({}))).await;
        assert_eq!(answered.trailer.outcome, Outcome::Success);
    }

    #[tokio::test]
    async fn it_serves_as_many_at_once_as_it_is_configured_for() {
        let sandbox = start(3).await;
        let gate = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let hold = json!({"do": "hold", "gate": gate.local_addr().expect("its own").to_string()});
        let calls = (0..3).map(|number| sandbox.run(call(number, &hold)));
        let meet = async {
            let mut met = Vec::new();
            for _ in 0..3 {
                met.push(gate.accept().await.expect("a call"));
            }
        };
        let (answers, ()) = soon(async { tokio::join!(join_all(calls), meet) }).await;
        assert!(
            answers
                .iter()
                .all(|answer| answer.trailer.outcome == Outcome::Success)
        );
    }

    #[tokio::test]
    async fn told_to_end_it_ends_what_runs_and_exits() {
        let mut sandbox = start(2).await;
        let gate = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let hold = json!({"do": "hold", "gate": gate.local_addr().expect("its own").to_string()});
        let pid = sandbox.child.id().expect("it runs").to_string();
        let stop = async {
            let (held, _) = gate.accept().await.expect("the call");
            let kill = Command::new("kill").args(["-TERM", &pid]).status().await;
            assert!(kill.expect("kill").success());
            drop(held);
        };
        let (answer, ()) = soon(async { tokio::join!(sandbox.run(call(1, &hold)), stop) }).await;
        assert_eq!(answer.trailer.outcome, Outcome::Success);
        let status = soon(sandbox.child.wait()).await.expect("its end");
        assert_eq!(status.code(), Some(0));
    }
}
