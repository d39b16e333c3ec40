//! (skeleton)
use std::path::{Path, PathBuf};
/// x
pub fn run(_: &[PathBuf], _: Option<&Path>, _: bool) -> crate::error::Result<()> {
    Ok(())
}
