//! Functions made with the published `lambda_runtime` crate, unmodified, in child processes: this
//! very test program is the function.

#[cfg(test)]
mod guest;
#[cfg(test)]
mod sandbox;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faas_core::{Clock, ErrorKind, Frame, FunctionError, Outcome, TokioClock, TraceContext};
    use faas_function::instance::Health;
    use futures::{StreamExt, future};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use crate::guest::serve_if_child;
    use crate::sandbox::{call, config, contract, failure, soon, start, try_start};

    /// In the parent it has nothing to do.
    #[test]
    fn guest() {
        serve_if_child();
    }

    #[tokio::test]
    async fn answers_again_and_again() {
        let sandbox = start(config()).await;
        for n in 0..20 {
            let answer = sandbox.run(json!({ "n": n })).await;
            assert_eq!(
                answer.payload.to_json::<Value>().unwrap(),
                json!({ "n": n })
            );
            assert_eq!(answer.trailer.outcome, Outcome::Success);
        }
        sandbox.freed(20).await;
        assert_eq!(sandbox.instance.health(), Health::Ready);
    }

    #[tokio::test]
    async fn errors_and_panics_are_failures_and_it_serves_on() {
        let sandbox = start(config()).await;
        let told = sandbox.fail(json!({"do": "fail"})).await;
        assert_eq!(told, ("Told".to_owned(), "it was asked to".to_owned()));
        let (_, message) = sandbox.fail(json!({"do": "panic"})).await;
        assert!(message.contains("on purpose"), "{message}");
        sandbox.run(json!(1)).await;
    }

    #[tokio::test]
    async fn payloads_of_six_mebibytes_pass_both_ways() {
        let mut config = config();
        let large = json!({"text": "y".repeat(6 << 20)});
        config.response_limit = 7 << 20;
        let sandbox = start(config).await;
        let answer = sandbox.run(large.clone()).await;
        assert_eq!(answer.payload.to_json::<Value>().unwrap(), large);
    }

    #[tokio::test]
    async fn an_answer_over_the_limit_is_a_failure_and_it_serves_on() {
        let mut config = config();
        config.response_limit = 100_000;
        let sandbox = start(config).await;
        let (kind, _) = sandbox.fail(json!({"do": "big", "size": 6 << 20})).await;
        assert_eq!(kind, FunctionError::RESPONSE_TOO_LARGE);
        sandbox.run(json!(1)).await;
        assert_eq!(sandbox.instance.health(), Health::Ready);
    }

    #[tokio::test]
    async fn the_context_is_what_aws_documents() {
        let mut config = config();
        config.timeout = Duration::from_secs(30);
        let sandbox = start(config).await;
        let mut invocation =
            call(5, &json!({"do": "context"})).with_attribute("colour", "r\u{f6}t");
        invocation.idempotency_key = Some("once".into());
        invocation.trace = TraceContext {
            trace_id: 0x5bef_4de7_ad49_b0e8_7f6e_f6c8_7fc2_e700,
            parent_id: 0x9a91_97af_755a_6419,
            flags: 1,
        };
        let clock = TokioClock::new();
        let before = clock.wall().as_millisecond();
        let answer = sandbox.try_run(invocation).await.unwrap();
        let context: Value = answer.payload.to_json().unwrap();
        let after = clock.wall().as_millisecond();
        let deadline = context["deadline"].as_i64().unwrap();
        assert!(
            (before + 29_900..=after + 30_000).contains(&deadline),
            "{deadline}"
        );
        let trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1";
        assert_eq!(context["trace"], trace);
        let custom = json!({"colour": "r\u{f6}t", "idempotency-key": "once"});
        assert_eq!(context["custom"], custom);
        assert_eq!(context["id"], "00000000-0000-0000-0000-000000000005");
        assert_eq!(context["name"], "hello");
        assert_eq!(context["version"], "4");
        assert_eq!(context["memory"], 128);
        let arn = context["arn"].as_str().unwrap();
        assert!(arn.ends_with(":function:hello:4"), "{arn}");
        assert_eq!(
            context["stream"],
            faas_core::SandboxId::from_u128(1).to_string()
        );
    }

    #[tokio::test]
    async fn sandboxes_of_one_contract_are_apart() {
        let contract = contract();
        let sandboxes = (0..3).map(|n| {
            let contract = contract.clone();
            async move { try_start(&contract, n, config(), &[]).await.unwrap() }
        });
        let sandboxes = future::join_all(sandboxes).await;
        let calls = sandboxes.iter().map(async |sandbox| {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..10 {
                let answer = sandbox.run(json!({"do": "context"})).await;
                let context: Value = answer.payload.to_json().unwrap();
                seen.insert(context["process"].as_u64().unwrap());
            }
            assert_eq!(seen.len(), 1, "one process");
            seen
        });
        let seen = future::join_all(calls).await;
        let processes: std::collections::BTreeSet<_> = seen.into_iter().flatten().collect();
        assert_eq!(processes.len(), 3);
    }

    #[tokio::test]
    async fn one_sandbox_serves_as_many_at_once_as_it_is_configured_for() {
        let mut config = config();
        config.concurrency = 4;
        let sandbox = start(config).await;
        let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = gate.local_addr().unwrap().to_string();
        let calls = (0..4).map(|n| {
            let call = call(n, &json!({"do": "meet", "socket": socket}));
            sandbox.try_run(call)
        });
        let meet = async {
            let mut met = Vec::new();
            for _ in 0..4 {
                met.push(gate.accept().await.unwrap());
            }
        };
        let (answers, ()) = soon(future::join(future::join_all(calls), meet)).await;
        for answer in answers {
            assert_eq!(answer.unwrap().payload.as_bytes(), "true");
        }
        sandbox.freed(4).await;
    }

    #[tokio::test]
    async fn a_timeout_gives_the_instance_up() {
        let mut config = config();
        config.timeout = Duration::from_millis(300);
        let sandbox = start(config).await;
        let (kind, _) = sandbox.fail(json!({"do": "hang"})).await;
        assert_eq!(kind, FunctionError::TIMEOUT);
        soon(sandbox.instance.failed()).await;
        sandbox.freed(1).await;
    }

    #[tokio::test]
    async fn an_exit_in_the_midst_of_a_call_is_a_failure_with_its_cause() {
        let sandbox = start(config()).await;
        let (kind, message) = sandbox.fail(json!({"do": "exit"})).await;
        assert_eq!(kind, FunctionError::EXIT);
        assert!(message.contains("code 7"), "{message}");
        soon(sandbox.instance.failed()).await;
    }

    #[tokio::test]
    async fn starts_that_fail_say_why() {
        let started = try_start(&contract(), 1, config(), &[("FAIL_TO_START", "1")]).await;
        let error = started.err().expect("it exits");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("code 3"), "{error}");
        let snapshot = [("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")];
        let started = try_start(&contract(), 1, config(), &snapshot).await;
        let error = started.err().expect("it reports");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("no database"), "{error}");
    }

    #[tokio::test]
    async fn a_stream_has_a_head_data_and_a_success() {
        let sandbox = start(config()).await;
        let streamed = sandbox
            .instance
            .invoke(call(1, &json!({"do": "stream"})), sandbox.permit());
        let response = soon(streamed).await.unwrap();
        assert!(!response.body.is_whole());
        assert_eq!(response.content_type.as_str(), "text/plain");
        assert_eq!(response.attributes.get(":status"), Some("201"));
        assert_eq!(response.attributes.get("set-cookie"), Some("a=b"));
        let answer = soon(response.collect(1 << 20)).await.unwrap();
        assert_eq!(answer.payload.to_text().unwrap(), "one two three");
        assert_eq!(answer.trailer.outcome, Outcome::Success);
        sandbox.freed(1).await;
    }

    #[tokio::test]
    async fn a_stream_is_passed_on_as_it_comes() {
        let sandbox = start(config()).await;
        let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = gate.local_addr().unwrap().to_string();
        let request = call(1, &json!({"do": "stream_gated", "socket": socket}));
        let response = soon(sandbox.instance.invoke(request, sandbox.permit()))
            .await
            .unwrap();
        let mut body = response.body.into_frames();
        let first = soon(body.next()).await.unwrap().unwrap();
        assert!(matches!(first, Frame::Data(data) if data == "first"));
        // Only now may it go on.
        drop(soon(gate.accept()).await.unwrap());
        let rest: Vec<_> = soon(body.collect()).await;
        let [Ok(Frame::Data(last)), Ok(Frame::Trailer(trailer))] = &*rest else {
            panic!("{rest:?}");
        };
        assert_eq!(
            (&**last, &trailer.outcome),
            (&b"last"[..], &Outcome::Success)
        );
    }

    #[tokio::test]
    async fn an_error_in_a_stream_is_its_outcome() {
        let sandbox = start(config()).await;
        let answer = sandbox.run(json!({"do": "stream_fail"})).await;
        assert_eq!(answer.payload.to_text().unwrap(), "one");
        let (kind, message) = failure(answer);
        assert_eq!((&*kind, &*message), ("Runtime.StreamError", "half way"));
        sandbox.run(json!(1)).await;
    }
}
