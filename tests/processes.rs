//! Functions in child processes, by the framed socket and by HTTP: this very test program is the
//! function.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas::core::{ErrorKind, FunctionError, HandlerCall, HandlerReply, Payload, Phase, StartKind};
use faas::function::registry::FunctionConfig;
use faas::resource::Executable;
use faas::resource::spec::{Packing, Program};
use faas::{CallError, Platform};

/// What runs in the child; in the parent it is a test that has nothing to do.
#[tokio::test]
async fn guest() {
    let Some(socket) = std::env::var_os("FAAS_SOCKET") else {
        return;
    };
    let shout = |call: HandlerCall| async move {
        let text: String = call.payload.to_json()?;
        match text.as_str() {
            "fail" => Err(FunctionError::new("Guest.Asked", "it was asked to")),
            "exit" => std::process::exit(7),
            "hang" => std::future::pending().await,
            text => Ok(HandlerReply::from(Payload::json(&text.to_uppercase())?)),
        }
    };
    let served = faas::runtimes::framed::guest::serve(Path::new(&socket), Arc::new(shout), 1).await;
    // The platform is gone, or was never there: nothing is left to do for a child.
    drop(served);
}

/// A guest that writes garbage to its socket; in the parent, too, it has nothing to do.
#[tokio::test]
async fn garbage() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Some(socket) = std::env::var_os("FAAS_SOCKET") else {
        return;
    };
    let connected = tokio::net::UnixStream::connect(socket).await;
    let mut socket = connected.expect("somebody listens");
    let garbage = b"GET / HTTP/1.1\r\nthis is no frame\r\n\r\n";
    socket.write_all(garbage).await.expect("it is taken");
    drop(socket.shutdown().await);
    // Until the other side has had enough.
    drop(socket.read_to_end(&mut Vec::new()).await);
}

/// A guest that is an HTTP server; in the parent, too, it has nothing to do.
#[tokio::test]
async fn web() {
    let (Ok(port), Ok(_)) = (std::env::var("PORT"), std::env::var("K_SERVICE")) else {
        return;
    };
    let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await;
    let listener = listener.expect("the port that is ours");
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer_in_capitals(stream));
    }
}

/// Answers one request on a connection.
async fn answer_in_capitals(mut stream: tokio::net::TcpStream) -> Option<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut read, mut text) = (Vec::new(), String::new());
    // The payload is a text in JSON: it ends with a quotation mark that is not the first.
    while !text
        .split_once("\r\n\r\n")
        .is_some_and(|(_, body)| body.len() > 1 && body.ends_with('"'))
    {
        read.push(stream.read_u8().await.ok()?);
        text = String::from_utf8_lossy(&read).into_owned();
    }
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    if body.contains("exit") {
        std::process::exit(7);
    }
    let (status, body) = match body.contains("fail") {
        true => (
            "500 Failed\r\nfaas-error: Guest.Asked",
            "it was asked to".to_owned(),
        ),
        false => ("200 OK", body.to_uppercase()),
    };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.ok()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future)
        .await
        .expect("an answer in time")
}

async fn platform(root: &Path) -> Platform {
    let platform = Platform::builder().process_root(root).build().await;
    let platform = platform.expect("it is well configured");
    deploy(&platform, "shout", "guest", |_| {}).await;
    platform
}

/// Deploys one of the guests of this very program.
async fn deploy(
    platform: &Platform,
    function: &str,
    guest: &str,
    configure: impl FnOnce(&mut FunctionConfig),
) {
    let this = std::env::current_exe()
        .and_then(std::fs::read)
        .expect("this program");
    let code = platform.functions().code();
    let program = Program {
        code: code.put(this.into()).await.expect("it is kept"),
        packing: Packing::File,
        entrypoint: PathBuf::from("guest"),
        arguments: [guest, "--exact", "--nocapture"].map(str::to_owned).into(),
    };
    let runtime = "framed".parse().expect("a name");
    let mut config = FunctionConfig::new(runtime, Executable::Program(program));
    configure(&mut config);
    let deployed = platform.deploy(function, config).await;
    deployed.expect("it deploys");
}

#[tokio::test]
async fn a_child_process_that_is_an_http_server_serves_and_is_replaced_when_it_exits() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    let http = |config: &mut FunctionConfig| config.runtime = "http".parse().expect("a name");
    deploy(&platform, "web", "web", http).await;
    for _ in 0..2 {
        let hello: String = within(platform.call("web", "hello"))
            .await
            .expect("it runs");
        assert_eq!(hello, "HELLO");
        let error = within(platform.call::<_, String>("web", "fail")).await;
        let Err(CallError::Function(error)) = error else {
            panic!("{error:?}")
        };
        assert_eq!(
            (&*error.kind, &*error.message),
            ("Guest.Asked", "it was asked to")
        );
        let error = within(platform.call::<_, String>("web", "exit")).await;
        let Err(CallError::Function(error)) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.kind, FunctionError::EXIT);
        assert!(error.message.contains("code 7"), "{error}");
    }
    within(platform.shutdown(Duration::from_secs(10)))
        .await
        .expect("it drains");
}

#[tokio::test]
async fn a_child_process_serves_cold_and_warm_and_is_replaced_when_it_exits() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    let hello = Payload::json("hello").expect("JSON");
    let cold = within(platform.run("shout", hello.clone()))
        .await
        .expect("it runs");
    assert_eq!(cold.start, StartKind::Cold);
    assert!(
        !cold.trailer.timeline[Phase::Start].is_zero(),
        "{}",
        cold.trailer.timeline
    );
    assert_eq!(cold.payload.to_json::<String>().expect("text"), "HELLO");
    let warm = within(platform.run("shout", hello)).await.expect("it runs");
    assert_eq!(warm.start, StartKind::Warm);

    let error = within(platform.call::<_, String>("shout", "fail"))
        .await
        .expect_err("it fails");
    assert!(
        matches!(&error, CallError::Function(e) if e.kind == "Guest.Asked"),
        "{error}"
    );
    let error = within(platform.call::<_, String>("shout", "exit"))
        .await
        .expect_err("it exits");
    assert!(
        matches!(&error, CallError::Function(e) if e.kind == FunctionError::EXIT && e.message.contains("code 7")),
        "{error}"
    );
    let again: String = within(platform.call("shout", "again"))
        .await
        .expect("a new child");
    assert_eq!(again, "AGAIN");

    within(platform.shutdown(Duration::from_secs(10)))
        .await
        .expect("it drains");
}

/// The processes that have `root` in their environment.
fn children(root: &Path) -> usize {
    let root = root.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let environments = processes.filter_map(|process| {
        // Ours is a child's only if it was executed anew, and a zombie has none.
        std::fs::read(process.path().join("environ")).ok()
    });
    let ours = |environment: &Vec<u8>| environment.windows(root.len()).any(|part| part == root);
    environments.filter(ours).count()
}

#[tokio::test]
async fn a_platform_that_is_dropped_leaves_no_child() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    let hello = Payload::json("hello").expect("JSON");
    within(platform.run("shout", hello)).await.expect("it runs");
    assert!(children(root.path()) > 0, "nothing to be seen");
    drop(platform);
    let gone = async {
        while children(root.path()) > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    let left = std::fs::read_dir(root.path().join("sandboxes"));
    assert_eq!(left.map_or(0, Iterator::count), 0, "a directory is left");
}

#[tokio::test]
async fn a_platform_that_was_shut_down_leaves_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    let hello = Payload::json("hello").expect("JSON");
    within(platform.run("shout", hello)).await.expect("it runs");
    within(platform.shutdown(Duration::from_secs(20)))
        .await
        .expect("it drains");
    assert_eq!(children(root.path()), 0);
    let left = std::fs::read_dir(root.path().join("sandboxes")).expect("the node's own");
    assert_eq!(left.count(), 0, "a directory is left");
    let error = within(platform.call::<_, String>("shout", "late")).await;
    let error = error.expect_err("it is over");
    assert!(matches!(error, CallError::Platform(_)), "{error}");
}

#[tokio::test]
async fn children_that_hang_or_say_too_much_are_the_functions_failures() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    deploy(&platform, "short", "guest", |config| {
        config.timeout = Duration::from_millis(300);
        config.response_limit = 16;
    })
    .await;
    let much = "much more than sixteen bytes";
    for (input, kind) in [
        ("hang", FunctionError::TIMEOUT),
        (much, FunctionError::RESPONSE_TOO_LARGE),
    ] {
        let error = within(platform.call::<_, String>("short", input)).await;
        let Err(CallError::Function(error)) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.kind, kind, "{error}");
        // It answers again, and others were not disturbed.
        let again: String = within(platform.call("short", "again"))
            .await
            .expect("it runs");
        assert_eq!(again, "AGAIN");
        let other: String = within(platform.call("shout", "hello"))
            .await
            .expect("it runs");
        assert_eq!(other, "HELLO");
    }
}

#[tokio::test]
async fn a_child_that_writes_garbage_is_told_of_and_disturbs_nobody() {
    let root = tempfile::tempdir().expect("a directory");
    let platform = platform(root.path()).await;
    deploy(&platform, "garbage", "garbage", |_| {}).await;
    let error = within(platform.call::<_, String>("garbage", "hello")).await;
    let Err(CallError::Platform(error)) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("exited with code 0"), "{error}");
    let other: String = within(platform.call("shout", "hello"))
        .await
        .expect("it runs");
    assert_eq!(other, "HELLO");
}
