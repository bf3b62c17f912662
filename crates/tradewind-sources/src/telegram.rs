//! Telegram: a bot, by Telegram's Bot API.
//!
//! A channel is a bot, a conversation is a chat with it: with a person, or a group that the bot is in. The bot's
//! token is a part of every address that is called, so no address may reach a log or an error.

mod api;
mod bot;
mod content;
mod hooks;
mod inlet;
mod outgoing;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tradewind_model::Source;

use crate::{Sources, Tools, config::TelegramConfig};

/// Where Telegram posts; the bot's id is below it.
const PATH: &str = "/telegram";

/// Adds the source, and the path where Telegram posts.
pub(crate) fn add(sources: &mut Sources, config: &TelegramConfig, tools: &Tools) {
    let bots = bot::Bots::new(config, tools);
    sources.providers.push(Arc::new(bots));
    let inlet = inlet::TelegramInlet::new(tools.hook_key);
    sources.inlets.push(Arc::new(inlet));
}

fn source() -> Source {
    Source::named("telegram")
}
