//! What shows that a conformance suite is sound: it has a case for each rule of its contract, and
//! each case catches what breaks the rule. For the tests of suites, ours and yours.

/// The names of the bold rules under `# Contract` of the trait `of`, in its source.
fn rules(source: &str, of: &str) -> Vec<String> {
    let end = source.find(&format!("pub trait {of}")).expect("the trait");
    let start = source[..end].rfind("/// # Contract").expect("its contract");
    source[start..end]
        .lines()
        .filter_map(|line| line.strip_prefix("/// - **")?.split_once("**"))
        .map(|(rule, _)| rule.to_owned())
        .collect()
}

/// The names that a suite's macro expands to.
fn expanded(source: &str, of: &str) -> Vec<String> {
    let start = source
        .find(&format!("macro_rules! {of}"))
        .expect("the macro");
    let list = source[start..].split_once("@cases").expect("its list").1;
    let list = list.split_once("$factory").expect("its factory").1;
    let list = list.split_once([',', ';']).expect("its cases").1;
    let list = list.split_once(['}', ')']).expect("its end").0;
    list.split_whitespace().map(str::to_owned).collect()
}

/// Each rule of a contract has a case of its name, and the suite's macro expands to all of them.
/// `source` is the file of the trait, `suite` that of the macro.
///
/// # Panics
/// If they do not agree.
pub fn assert_agreement(
    (source, of): (&str, &str),
    (suite, suite_macro): (&str, &str),
    cases: impl IntoIterator<Item = &'static str>,
) {
    let rules = rules(source, of);
    assert!(!rules.is_empty());
    let cases: Vec<_> = cases.into_iter().collect();
    assert_eq!(cases, rules, "the suite against the contract");
    let expanded = expanded(suite, suite_macro);
    assert_eq!(expanded, rules, "the macro against the contract");
}

/// Expands to one `#[test]` per contract that calls
/// [`assert_agreement`](crate::conformance::assert_agreement); files are named from the calling one.
#[macro_export]
macro_rules! contracts_and_suites_agree {
    ($($test:ident: $trait:literal in $source:literal,
       $macro:literal in $suite:literal, $cases:expr;)*) => {$(
        #[test]
        fn $test() {
            $crate::conformance::assert_agreement(
                (include_str!($source), $trait),
                (include_str!($suite), $macro),
                $cases.iter().map(|(name, _)| *name),
            );
        }
    )*};
}

/// Expands to one `#[tokio::test]` per rule, in paused time, which shows that its case fails against
/// each adapter with one of the named faults; and to one that shows that no case is left out.
///
/// `$passes` is an `async fn(&str, Fault) -> bool`: whether the case of that name passes.
#[macro_export]
macro_rules! suite_catches {
    ($cases:expr, $passes:path, $faults:ident; $($rule:ident: $($fault:ident)*;)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $rule() {
            $(
                let caught = !$passes(stringify!($rule), $faults::$fault).await;
                assert!(caught, "{:?} is not caught", $faults::$fault);
            )*
        })*

        #[test]
        fn every_case_has_one_that_it_catches() {
            let caught = [$(stringify!($rule)),*];
            assert!($cases.iter().map(|(name, _)| *name).eq(caught));
        }
    };
}
