//! Collects what `saslauthd --version` says of the build.

use std::collections::BTreeSet;

use shadow_rs::{BuildPattern, ShadowBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Left out: what names people, paths of the build host, or runs cargo again.
    let unwanted = BTreeSet::from([
        shadow_rs::CARGO_METADATA,
        shadow_rs::CARGO_TREE,
        shadow_rs::CARGO_MANIFEST_DIR,
        shadow_rs::COMMIT_AUTHOR,
        shadow_rs::COMMIT_EMAIL,
        shadow_rs::GIT_STATUS_FILE,
    ]);
    ShadowBuilder::builder().build_pattern(BuildPattern::Lazy).deny_const(unwanted).build()?;
    Ok(())
}
