//! `tradewind migrate`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::ExposeSecret as _;
use tradewind_model::{Clock as _, SystemClock};
use tradewind_store::{Address, Moved, Place, Step, transfer};

use super::output;
use crate::settings::{Flags, Settings};

#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
pub(super) struct MigrateOptions {
    /// A data directory; "database", which is the one that TRADEWIND_DATABASE names; or its address, which
    /// whoever lists processes sees
    #[arg(long, value_name = "DIR|database|postgres://…", value_parser = named, hide_possible_values = true)]
    from: Named,
    /// The other of the two
    #[arg(long, value_name = "DIR|database|postgres://…", value_parser = named)]
    to: Named,
}

/// One end, as the command line names it.
#[derive(Clone, Debug)]
enum Named {
    Place(Place),
    /// The one that the settings name.
    Database,
}

fn named(text: &str) -> Result<Named, &'static str> {
    let is_address = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if is_address {
        Ok(Named::Place(Place::Postgres(Address(text.to_owned()))))
    } else if text == "database" {
        Ok(Named::Database)
    } else if text.contains("://") || text.contains('=') {
        // It is not repeated: it may hold a password.
        Err("is neither a directory nor an address that begins with postgres://")
    } else {
        Ok(Named::Place(Place::Directory(PathBuf::from(text))))
    }
}

impl Named {
    fn place(&self) -> anyhow::Result<Place> {
        match self {
            Self::Place(place) => Ok(place.clone()),
            Self::Database => {
                let settings = Settings::load(&Flags::default())?;
                let url = settings
                    .database
                    .context("no setting names a database: set TRADEWIND_DATABASE")?;
                Ok(Place::Postgres(Address(url.expose_secret().to_owned())))
            }
        }
    }
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
    let (from, to) = (options.from.place()?, options.to.place()?);
    let moved = transfer(&from, &to, now, &mut tell).await;
    bar.finish_and_clear();
    let Moved { rows, repeats } = moved?;
    if repeats > 0 {
        output::say(&format!(
            "The nodes stood at different places when they were stopped, so up to {repeats} events come again."
        ));
    }
    output::say(&format!(
        "{rows} rows are moved, and are the same on both sides. The source is as it was; do not start a server on it any more."
    ));
    Ok(())
}
