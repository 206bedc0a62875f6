//! That the book holds together: what its summary lists is there, links lead somewhere, and the
//! files and macros that a component's page names exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between `open` and `close`, each time.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open)
        .skip(1)
        .filter_map(move |rest| Some(rest.split_once(close)?.0))
}

fn pages() -> Vec<PathBuf> {
    let book = root().join("docs/src");
    let components = book.join("components");
    let all = [book, components].into_iter().flat_map(|directory| {
        let entries = std::fs::read_dir(directory).expect("the book");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let pages = all.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    pages.collect()
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let book = root().join("docs/src");
    let summary = read(&book.join("SUMMARY.md"));
    let listed: BTreeSet<_> = between(&summary, "](", ")")
        .map(|link| book.join(link))
        .collect();
    for page in pages() {
        let named = page.ends_with("SUMMARY.md") || listed.contains(&page);
        assert!(named, "{} is not in the summary", page.display());
        let here = page.parent().expect("a directory");
        let text = read(&page);
        for link in between(&text, "](", ")").filter(|link| !link.contains("://")) {
            let file = here.join(link.split('#').next().unwrap_or_default());
            assert!(file.exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn what_component_pages_name_exists() {
    let layers = [
        "faas-core",
        "faas-resource",
        "faas-function",
        "faas-workflow",
    ];
    let components = pages().into_iter().filter(|page| {
        let directory = page.parent().and_then(Path::file_name);
        directory.is_some_and(|name| name == "components")
    });
    let mut count = 0;
    for page in components {
        count += 1;
        let text = read(&page);
        for file in between(&text, "`", "`").filter(|name| name.ends_with(".rs")) {
            assert!(root().join(file).exists(), "{}: {file}", page.display());
        }
        for name in between(&text, "`", "`").filter_map(|name| name.strip_suffix("_conformance!")) {
            let directory = layers.iter().find(|layer| {
                let trait_of = layer.replace('-', "_");
                text.contains(&format!("`{trait_of}::"))
            });
            let directory = root().join(directory.expect("a layer")).join("src");
            let macro_of = format!("macro_rules! {name}_conformance");
            assert!(holds(&directory, &macro_of), "{}: {name}", page.display());
        }
    }
    assert_eq!(count, 14, "a page for each component");
}

/// Whether a Rust file below `directory` has `text` in it.
fn holds(directory: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.any(|path| match path.is_dir() {
        true => holds(&path, text),
        false => path.extension().is_some_and(|e| e == "rs") && read(&path).contains(text),
    })
}
