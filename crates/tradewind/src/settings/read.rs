//! Where settings are read from: the file and the environment.

use anyhow::{Context as _, anyhow, bail};
use secrecy::SecretString;

use super::{Flags, Settings};

/// The settings file that is read when it exists and no other is named.
const DEFAULT_FILE: &str = "tradewind.toml";
const PREFIX: &str = "TRADEWIND_";
/// Variables with the prefix that are no keys of the file.
const OTHER_VARIABLES: [&str; 4] = [
    "TRADEWIND_CONFIG",
    "TRADEWIND_LOG",
    "TRADEWIND_TOKEN",
    "TRADEWIND_CRASH_AT",
];

/// Sections that are about providers.
const SOURCES: [&str; 4] = ["meta", "twilio", "google", "telegram"];
/// Secrets, by section and key: each can also be in a file, which the key with `_file` after it names.
const FILES: [(&str, &str); 8] = [
    ("", "api_token"),
    ("", "database"),
    ("", "secret_key"),
    ("meta", "app_secret"),
    ("meta", "verify_token"),
    ("twilio", "auth_token"),
    ("google", "partner_key"),
    ("google", "service_account"),
];
/// Longest file with a secret, in bytes.
const SECRET_FILE_MAX: usize = 64 << 10;

/// Our variables of the process's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one reader of the environment"
)]
pub(super) fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        name.starts_with(PREFIX).then_some((name, value))
    });
    ours.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name, value)),
        Err(_) => bail!("{name}: is not UTF-8 text"),
    })
    .collect()
}

/// What `TRADEWIND_LOG` says.
pub(crate) fn log_filter() -> anyhow::Result<Option<String>> {
    variable("TRADEWIND_LOG")
}

/// The token that clients of a server are given by `TRADEWIND_TOKEN`.
pub(crate) fn client_token() -> anyhow::Result<Option<SecretString>> {
    Ok(variable("TRADEWIND_TOKEN")?.map(SecretString::from))
}

/// Where and at which pass the process is to die, for tests: `TRADEWIND_CRASH_AT=before_commit:3`.
pub(crate) fn crash_point() -> anyhow::Result<Option<(String, u64)>> {
    const NAME: &str = "TRADEWIND_CRASH_AT";
    let Some(value) = variable(NAME)? else {
        return Ok(None);
    };
    let point = value
        .split_once(':')
        .and_then(|(point, passes)| Some((point.to_owned(), passes.parse().ok()?)));
    Ok(Some(point.with_context(|| {
        format!("{NAME}: {value:?} is not like before_commit:3")
    })?))
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    let ours = environment()?.into_iter();
    let mut found = ours.filter(|(known, _)| known == name);
    Ok(found.next().map(|(_, value)| value))
}

pub(super) fn file(flags: &Flags, environment: &[(String, String)]) -> anyhow::Result<String> {
    let named = environment
        .iter()
        .find(|(name, _)| name == "TRADEWIND_CONFIG");
    let named = flags
        .config
        .clone()
        .or_else(|| named.map(|(_, path)| path.into()));
    let path = named.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(String::new())
        }
        Err(error) => Err(error)
            .with_context(|| format!("the settings file {} cannot be read", path.display())),
    }
}

/// Whether a variable names a setting. The environment is shared, so one that does not is passed over;
/// it may be a typo, so it is not passed over in silence.
pub(super) fn is_setting(name: &str, value: &str) -> anyhow::Result<bool> {
    if OTHER_VARIABLES.contains(&name) {
        return Ok(false);
    }
    let mut alone = toml::Table::new();
    set_variable(&mut alone, name, value)?;
    let names_file = |(section, key): &(&str, &str)| {
        let section = section_of(&mut alone, section);
        section.is_some_and(|section| section.contains_key(&format!("{key}_file")))
    };
    if FILES.iter().any(names_file) {
        return Ok(true);
    }
    let unknown = |error: toml::de::Error| error.message().starts_with("unknown field");
    if alone.try_into::<Settings>().is_err_and(unknown) {
        tracing::warn!(
            variable = name,
            "no setting has this name; the variable is passed over"
        );
        return Ok(false);
    }
    Ok(true)
}

/// Puts a variable such as `TRADEWIND_DELIVERY__TIMEOUT_SECONDS=30` where the file would have it.
pub(super) fn set_variable(table: &mut toml::Table, name: &str, value: &str) -> anyhow::Result<()> {
    let path = name.trim_start_matches(PREFIX).to_lowercase();
    let (section, key) = match path.split_once("__") {
        Some((section, key)) => (Some(section), key),
        None => (None, path.as_str()),
    };
    let target = match section {
        None => table,
        Some(section) => table
            .entry(section)
            .or_insert_with(|| toml::Table::new().into())
            .as_table_mut()
            .with_context(|| format!("{name}: {section} is not a section"))?,
    };
    let typed = match key {
        "webhook_allow" | "trusted_proxies" | "cors_origins" => {
            let parts = value.split(',').map(str::trim);
            let parts = parts.filter(|part| !part.is_empty());
            toml::Value::Array(parts.map(Into::into).collect())
        }
        // Of accounts at providers everything is text, also what looks like a number.
        _ if SOURCES.contains(&section.unwrap_or_default()) => value.into(),
        _ if section.is_some() => value.parse().unwrap_or_else(|_| value.into()),
        _ => value.into(),
    };
    target.insert(key.to_owned(), typed);
    Ok(())
}

/// Where the file stops being TOML, in one line.
pub(super) fn not_toml(file: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error
        .span()
        .and_then(|span| file.get(..span.start))
        .unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    anyhow!(
        "the settings file is not TOML: line {line}: {}",
        error.message()
    )
}

/// Which setting is wrong and why, in one line.
pub(super) fn one_line(error: &toml::de::Error) -> anyhow::Error {
    let text = error.to_string();
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    anyhow!("a setting is wrong: {}", lines.join(" "))
}

/// Puts what is in the files that `…_file` names where the secrets themselves would be.
pub(super) fn resolve_files(table: &mut toml::Table) -> anyhow::Result<()> {
    for (section, key) in FILES {
        let Some(target) = section_of(table, section) else {
            continue;
        };
        let Some(path) = target.remove(&format!("{key}_file")) else {
            continue;
        };
        let name = match section {
            "" => format!("{key}_file"),
            section => format!("{section}.{key}_file"),
        };
        let path = path
            .as_str()
            .with_context(|| format!("{name}: must be a text in quotes"))?;
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("{name}: {path} cannot be read"))?;
        anyhow::ensure!(
            text.len() <= SECRET_FILE_MAX,
            "{name}: {path} is longer than {SECRET_FILE_MAX} bytes"
        );
        anyhow::ensure!(
            !target.contains_key(key),
            "{name}: give the secret or the file, not both"
        );
        target.insert(key.to_owned(), text.trim_end_matches(['\n', '\r']).into());
    }
    Ok(())
}

/// The section of this name; without one, the whole.
fn section_of<'t>(table: &'t mut toml::Table, section: &str) -> Option<&'t mut toml::Table> {
    match section {
        "" => Some(table),
        section => table.get_mut(section)?.as_table_mut(),
    }
}
