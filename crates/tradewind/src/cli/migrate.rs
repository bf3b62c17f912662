//! `tradewind migrate`.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tradewind_model::{Clock as _, SystemClock};
use tradewind_store::{Address, Place, Step, transfer};

use super::output;

#[derive(Debug, Args)]
pub(super) struct MigrateOptions {
    /// A data directory, or the address of a database
    #[arg(long, value_name = "DIR or postgres://…", value_parser = place)]
    from: Place,
    /// The other of the two
    #[arg(long, value_name = "DIR or postgres://…", value_parser = place)]
    to: Place,
}

#[expect(clippy::unnecessary_wraps, reason = "it is what clap calls")]
fn place(text: &str) -> Result<Place, std::convert::Infallible> {
    let is_address = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    Ok(if is_address {
        Place::Postgres(Address(text.to_owned()))
    } else {
        Place::Directory(PathBuf::from(text))
    })
}

/// A bar that counts these; shown when somebody looks.
pub(super) fn bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template =
        format!("{{msg:24}} {{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}

pub(super) async fn run(options: &MigrateOptions) -> anyhow::Result<()> {
    let bar = bar("rows");
    let now = SystemClock.now();
    let mut tell = |step: Step| {
        let verb = if step.compares {
            "comparing"
        } else {
            "copying"
        };
        bar.set_message(format!("{verb} {}", step.table));
        bar.set_length(step.total);
        bar.set_position(step.done);
    };
    let moved = transfer(&options.from, &options.to, now, &mut tell).await;
    bar.finish_and_clear();
    let rows = moved?;
    output::say(&format!(
        "{rows} rows are moved, and are the same on both sides. The source is as it was; do not start a server on it any more."
    ));
    Ok(())
}
