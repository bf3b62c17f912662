//! `tradewind serve`.

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use crate::{
    cli::output,
    server::{Server, Signals},
    settings::{self, Flags, Settings},
};

pub(super) async fn run(flags: &Flags) -> anyhow::Result<()> {
    output::start_logs(settings::log_filter()?.as_deref().unwrap_or("info"))?;
    let signals = Signals::listen()?;
    let settings = Settings::load(flags)?;
    if let Some((point, passes)) = settings::crash_point()? {
        tradewind_store::crash::arm(&point, passes).context("TRADEWIND_CRASH_AT")?;
    }
    if let Some(net) = settings.networks().iter().find(|net| net.prefix_len() == 0) {
        tracing::warn!(%net, "webhooks may reach every address, this machine and its network included");
    }
    let server = Server::start(&settings, None).await?;
    output::say(&format!("Tradewind listens on http://{}", server.address));
    if server.token_is_new
        && let Some(token) = &server.admin_token
    {
        let path = settings.data.join("token");
        output::say(&format!(
            "Admin token (kept in {}): {}",
            path.display(),
            token.expose_secret()
        ));
    }
    let is_public = !server.address.ip().is_loopback();
    if is_public && settings.server.signup && !server.store().has_users().await? {
        tracing::warn!(
            "whoever reaches this server can sign up and become its admin; do so first, or set server.signup = false"
        );
    }
    server.run_until_stopped(signals).await
}
