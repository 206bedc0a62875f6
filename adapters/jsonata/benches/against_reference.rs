//! Parsing and evaluating, against JSONata's reference implementation on Node.js in the same run,
//! interleaved with it. Prints a line an expression: the ratio is how many times as fast this crate
//! is. Skipped, loudly, where Node.js or the npm package is not to be had.
//!
//! Run it with `cargo bench -p faas-jsonata`. The package is looked for where Node.js looks
//! (`NODE_PATH`), and else put below cargo's target folder by `npm`.

use std::error::Error;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use faas_jsonata::{Context, Dialect, Expression};
use serde_json::{Value, json};

/// The version of the reference that is measured.
const REFERENCE: &str = "jsonata@2.2.2";

/// How many times as fast every expression is to be.
const GOAL: f64 = 10.0;

/// How many rounds each side runs, in turns; the best counts.
const ROUNDS: u32 = 9;

/// What states of a workflow ask for.
const TYPICAL: [(&str, &str); 10] = [
    ("path", "$states.input.order.id"),
    (
        "condition",
        "$states.input.order.total > 100 and $states.input.customer.tier = 'gold'",
    ),
    (
        "arguments",
        "{'order': $states.input.order.id, 'to': $states.input.customer.name, 'total': $states.input.order.total}",
    ),
    (
        "total",
        "$sum($states.input.order.lines.(price * quantity))",
    ),
    ("predicate", "$states.input.order.lines[quantity > 1].sku"),
    (
        "choice",
        "$states.result.StatusCode = 200 ? $states.result.Payload : $error('no payload')",
    ),
    (
        "text",
        "'arn:aws:s3:::' & $states.input.bucket & '/' & $states.input.key",
    ),
    (
        "default",
        "$exists($states.input.retries) ? $states.input.retries + 1 : 1",
    ),
    (
        "merge",
        "$merge([$states.input.order, {'status': 'SHIPPED', 'by': $states.context.Execution.Name}])",
    ),
    (
        "map",
        "$map($states.input.order.lines, function($l, $i) { {'n': $i + 1, 'sku': $uppercase($l.sku)} })",
    ),
];

/// On 10,000 elements.
const HEAVY: [(&str, &str); 5] = [
    ("heavy sum", "$sum($states.items.(price * quantity))"),
    (
        "heavy filter",
        "$states.items[price > 50 and category = 'c7'].id",
    ),
    ("heavy group", "$states.items{category: $sum(price)}"),
    ("heavy sort", "$states.items^(>price, id).id"),
    (
        "heavy map",
        "$map($states.items, function($v) { {'id': $v.id, 'total': $v.price * $v.quantity} })",
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut reference = match Reference::start() {
        Ok(reference) => reference,
        Err(reason) => {
            println!("\n!!! AGAINST_REFERENCE SKIPPED: {reason} !!!\n");
            return Ok(());
        }
    };
    let inputs = [small(), large()];
    for input in &inputs {
        reference.ask(&json!({ "load": input }))?;
    }
    let mut reached = 0;
    for (name, expression) in TYPICAL {
        reached += usize::from(measure(
            &mut reference,
            name,
            expression,
            0,
            &inputs[0],
            400,
        )?);
    }
    for (name, expression) in HEAVY {
        reached += usize::from(measure(&mut reference, name, expression, 1, &inputs[1], 1)?);
    }
    let all = TYPICAL.len() + HEAVY.len();
    println!("against_reference: {reached} of {all} expressions reach {GOAL:.0} times");
    Ok(())
}

/// The input of a state.
fn small() -> Value {
    let line = |sku: &str, price: f64, quantity: u32| json!({"sku": sku, "price": price, "quantity": quantity});
    json!({
        "input": {
            "order": {
                "id": "o-1042",
                "total": 131.5,
                "lines": [line("ab-1", 12.5, 3), line("cd-2", 40.0, 1), line("ef-3", 13.5, 4)],
            },
            "customer": {"name": "Ada", "tier": "gold"},
            "bucket": "orders",
            "key": "2026/07/o-1042.json",
        },
        "result": {"StatusCode": 200, "Payload": {"accepted": true}},
        "context": {"Execution": {"Name": "run-7"}},
    })
}

fn large() -> Value {
    let items: Vec<Value> = (0..10_000_u32)
        .map(|n| {
            json!({
                "id": n,
                "name": format!("item {n}"),
                "price": f64::from(n * 7919 % 1000) / 10.0,
                "quantity": n % 5 + 1,
                "category": format!("c{}", n * 31 % 50),
            })
        })
        .collect();
    json!({ "items": items })
}

/// Measures one expression, and tells whether it reaches the goal.
fn measure(
    reference: &mut Reference,
    name: &str,
    expression: &str,
    input: usize,
    states: &Value,
    rounds: u32,
) -> Result<bool, Box<dyn Error>> {
    let context = Context::new(UNIX_EPOCH, 0).bind("states", states);
    let run = || -> Result<Option<Value>, faas_jsonata::Error> {
        Expression::parse(expression, Dialect::StepFunctions)?.evaluate(None, &context)
    };
    let task = |rounds: u32, tell: bool| json!({"expression": expression, "input": input, "rounds": rounds, "tell": tell});
    // Both give the same, and are warm.
    let told = reference.ask(&task(rounds, true))?;
    let ours = run()?;
    if !same(ours.as_ref().unwrap_or(&Value::Null), &told["result"]) {
        return Err(format!("{name}: {ours:?} is not {}", told["result"]).into());
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = now();
        let mut times = 0;
        while times < rounds || start.elapsed() < Duration::from_millis(10) {
            black_box(run()?);
            times += 1;
        }
        ours.push(start.elapsed().as_secs_f64() / f64::from(times));
        let nanos = reference.ask(&task(rounds, false))?["nanos"].as_f64();
        theirs.push(nanos.ok_or("the reference tells no time")? / 1e9);
    }
    let (ours, theirs) = (best(ours), best(theirs));
    let ratio = theirs / ours;
    let of = Duration::from_secs_f64;
    println!(
        "{name} ratio={ratio:.1} best={:.2?} reference_best={:.2?}",
        of(ours),
        of(theirs)
    );
    Ok(ratio >= GOAL)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// The round that was disturbed least.
fn best(seconds: Vec<f64>) -> f64 {
    seconds.into_iter().fold(f64::INFINITY, f64::min)
}

/// Equal, with numbers as doubles.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| same(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .all(|(key, l)| right.get(key).is_some_and(|r| same(l, r)))
        }
        _ => left == right,
    }
}

/// The reference implementation, in a process of its own.
struct Reference {
    child: Child,
    tasks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Reference {
    /// Starts it; if it cannot be, the reason is told.
    fn start() -> Result<Self, String> {
        let modules = modules()?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/reference.cjs");
        let mut child = Command::new("node")
            .arg(script)
            .env("NODE_PATH", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node was not started: {error}"))?;
        let (Some(tasks), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("node has no pipes".to_owned());
        };
        Ok(Self {
            child,
            tasks,
            answers: BufReader::new(answers).lines(),
        })
    }

    fn ask(&mut self, task: &Value) -> Result<Value, Box<dyn Error>> {
        writeln!(self.tasks, "{task}")?;
        let answer = self.answers.next().ok_or("the reference ended")??;
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder of modules in which the package is; it is installed if need be.
fn modules() -> Result<PathBuf, String> {
    let given = std::env::var_os("NODE_PATH")
        .map(PathBuf::from)
        .unwrap_or_default();
    let found = Command::new("node")
        .args(["-e", "require('jsonata')"])
        .env("NODE_PATH", &given)
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("node was not started: {error}"))?;
    if found.success() {
        return Ok(given);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference");
    let modules = folder.join("node_modules");
    if modules.join("jsonata").is_dir() {
        return Ok(modules);
    }
    let installed = Command::new("npm")
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(&folder)
        .arg(REFERENCE)
        .status();
    match installed {
        Ok(status) if status.success() => Ok(modules),
        Ok(status) => Err(format!("npm did not install {REFERENCE}: {status}")),
        Err(error) => Err(format!("npm was not started: {error}")),
    }
}
