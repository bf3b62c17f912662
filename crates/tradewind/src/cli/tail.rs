//! `tradewind tail`: events on standard output.

use clap::Args;

use crate::{
    cli::{
        client::{PullOptions, Puller},
        output,
    },
    server::Signals,
    settings,
};

#[derive(Debug, Args)]
pub(crate) struct TailOptions {
    #[command(flatten)]
    pull: PullOptions,
    /// Print each event as the JSON that a webhook gets, one a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: &TailOptions) -> anyhow::Result<()> {
    output::start_logs(settings::log_filter()?.as_deref().unwrap_or("warn"))?;
    let mut signals = Signals::listen()?;
    let mut puller = Puller::new(&options.pull, None)?;
    loop {
        let pulled = tokio::select! {
            () = signals.next() => break,
            pulled = puller.next() => pulled?,
        };
        for event in pulled.events {
            let said = if options.json {
                output::try_say(event.body.get())
            } else {
                output::try_say(&event.line())
            };
            if said.is_err() {
                // Whoever read this has seen enough.
                return Ok(());
            }
        }
    }
    if let Some(cursor) = puller.cursor() {
        output::error(&format!("tradewind: to go on from here: --from {cursor}"));
    }
    Ok(())
}
