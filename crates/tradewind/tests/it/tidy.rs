//! The rules of the repository that no other tool checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A Rust file of the program, with what stands before its tests.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }
}

/// Every Rust file of the crates' `src` but those that are tests.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for member in fs::read_dir(root().join("crates")).unwrap() {
        collect(&member.unwrap().path().join("src"), &mut found);
    }
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
}

fn collect(directory: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.display().to_string();
            found.push(Source { path, text });
        }
    }
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let lines = |source: &Source| source.text.lines().count();
    let long = sources()
        .into_iter()
        .filter(|source| lines(source) > LINES_MAX);
    let long: Vec<_> = long
        .map(|source| format!("{}: {}", source.path, lines(&source)))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_to_do_or_to_panic() {
    // Put together here, so that this file may be searched too.
    let words = [
        [".unwrap", "()"].concat(),
        [".expect", "("].concat(),
        ["TO", "DO"].concat(),
    ];
    let mut found = Vec::new();
    for source in sources() {
        for (at, line) in source.code().lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", source.path, at + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Every code that an error of the API can have.
pub(crate) fn error_codes() -> Vec<String> {
    let errors = root().join("crates/tradewind/src/api/error.rs");
    let errors = fs::read_to_string(errors).unwrap();
    let codes: Vec<_> = errors
        .split("StatusCode::")
        .skip(1)
        .filter_map(|rest| rest.split_once(", \"")?.1.split_once("\")"))
        .map(|(code, _)| code.to_owned())
        .filter(|code| {
            code.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        })
        .collect();
    assert!(codes.len() > 10, "only {codes:?} were found");
    codes
}

#[test]
fn every_error_code_is_documented() {
    let Ok(docs) = fs::read_to_string(root().join("docs/api.md")) else {
        return;
    };
    let missing: Vec<_> = error_codes()
        .into_iter()
        .filter(|code| !docs.contains(&format!("`{code}`")))
        .collect();
    assert!(missing.is_empty(), "docs/api.md lacks {missing:?}");
}

/// A route of the API that is registered in another way would be missing in `/openapi.json`.
#[test]
fn every_endpoint_is_registered_with_its_description() {
    let mut endpoints = 0;
    for source in sources() {
        // The document is the one route that it does not describe.
        if !source.path.contains("/src/api/") || source.path.ends_with("api/openapi.rs") {
            continue;
        }
        let bare = [".route(", ".nest(", ".route_service("];
        let bare = bare.iter().find(|call| source.code().contains(**call));
        assert_eq!(bare, None, "{}", source.path);
        endpoints += source.code().matches(".routes(routes!(").count();
    }
    assert!(endpoints > 15, "only {endpoints} were found");
}

#[test]
fn every_limit_is_documented() {
    let sources = sources();
    let mut limits: Vec<_> = sources
        .iter()
        .flat_map(|source| source.code().lines())
        .filter_map(|line| line.split_once("const ")?.1.split_once(':'))
        .map(|(name, _)| name)
        .filter(|name| name.ends_with("_MAX"))
        .collect();
    limits.sort_unstable();
    limits.dedup();
    assert!(limits.len() > 10, "only {limits:?} were found");
    let Ok(docs) = fs::read_to_string(root().join("ARCHITECTURE.md")) else {
        return;
    };
    let missing: Vec<_> = limits
        .into_iter()
        .filter(|name| !docs.contains(&format!("`{name}`")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md lacks {missing:?}");
}

#[test]
fn every_test_that_holds_a_promise_exists() {
    let docs = fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    let mut code = String::new();
    add_rust_files(&root().join("crates"), &mut code);
    let named = docs.split('`').skip(1).step_by(2);
    let named: Vec<_> = named.filter(|word| word.contains("::")).collect();
    assert!(named.len() > 20, "only {named:?} were found");
    let exists = |path: &&str| {
        let name = path.rsplit("::").next().unwrap_or_default();
        // `kill::…` names all of a module.
        let name = name.trim_matches('…');
        name.is_empty()
            || code.contains(&format!("fn {name}("))
            || code.contains(&format!("mod {name};"))
    };
    let missing: Vec<_> = named.iter().filter(|path| !exists(path)).collect();
    assert!(missing.is_empty(), "there is no test {missing:?}");
}

fn add_rust_files(directory: &Path, code: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_rust_files(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}
