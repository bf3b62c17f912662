//! `tradewind backup`.

use std::path::PathBuf;

use clap::Args;
use tradewind_store::back_up;

use super::{migrate::bar, output};

#[derive(Debug, Args)]
pub(super) struct BackupOptions {
    /// The directory to copy
    #[arg(long, value_name = "DIR", default_value = "./tradewind-data")]
    data: PathBuf,
    /// Where the copy is to be: a directory that does not exist yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(super) fn run(options: &BackupOptions) -> anyhow::Result<()> {
    let bar = bar("pages");
    let copied = back_up(&options.data, &options.to, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    copied?;
    output::say(&format!(
        "The copy is in {}; start it with: tradewind serve --data {}",
        options.to.display(),
        options.to.display()
    ));
    Ok(())
}
