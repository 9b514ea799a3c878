//! Secrets by reference: `env:NAME` and `file:PATH`, so that none stands on a command line or in a network file.

use anyhow::Context as _;
use sameroom_model::Secrets;

/// The longest secret file read.
const FILE_MAX: u64 = 64 * 1024;

/// Secrets with their references resolved. Others stay as they are.
pub(crate) fn resolve(secrets: &Secrets) -> anyhow::Result<Secrets> {
    secrets.expose().map(|(name, value)| Ok((name.to_owned(), resolve_one(name, value)?))).collect()
}

/// Whether it says where a secret is, rather than being one.
pub(crate) fn is_reference(value: &str) -> bool {
    value.starts_with("env:") || value.starts_with("file:")
}

/// The secret of that name that a reference refers to. What is no reference stays as it is.
pub(crate) fn resolve_one(name: &str, value: &str) -> anyhow::Result<String> {
    if let Some(variable) = value.strip_prefix("env:") {
        let found = std::env::var(variable).with_context(|| {
            format!("the secret '{name}' is to come from the variable {variable}, which is not set")
        })?;
        anyhow::ensure!(
            !found.is_empty(),
            "the secret '{name}' is to come from the variable {variable}, which is empty"
        );
        return Ok(found);
    }
    if let Some(path) = value.strip_prefix("file:") {
        let size = std::fs::metadata(path)
            .with_context(|| format!("the secret '{name}' is to come from the file {path}, which can't be read"))?
            .len();
        anyhow::ensure!(size <= FILE_MAX, "the secret '{name}' is to come from the file {path}, which is too large");
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the secret '{name}' is to come from the file {path}, which can't be read"))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(value.to_owned())
}
