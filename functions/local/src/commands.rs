//! Commands (being written).
use crate::cli::{DeliveriesAction, ServeArgs};
use std::path::Path;
pub(crate) fn platforms(_json: bool) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn apply(_p: &ServeArgs, _f: &Path, _d: bool, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn export(_p: &ServeArgs, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn doctor(_p: &ServeArgs, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn backup(_p: &ServeArgs, _f: &Path, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
pub(crate) fn deliveries(_p: &ServeArgs, _a: DeliveriesAction, _json: bool) -> anyhow::Result<()> {
    Ok(())
}
