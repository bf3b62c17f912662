//! Meta: Facebook Messenger, Instagram through the page that it is linked with, and `WhatsApp`.
//!
//! All three post to the same app in the same way, signed with the app's secret, and are answered by the same
//! Graph API. So there is one inlet at two paths, and one provider for pages and one for phone numbers.

mod echoes;
mod error;
mod graph;
mod inlet;
mod messenger;
mod page;
mod phone;
mod shape;
mod whatsapp;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tradewind_model::Source;

use crate::{Sources, Tools, config::MetaConfig, json};

/// What is before the id of a message of ours where Meta takes a text along and tells it again: in echoes of
/// what a page sent, and in the receipts of `WhatsApp`.
const OURS: &str = "tradewind:";

/// Adds Meta's sources, and the paths where Meta posts.
pub(crate) fn add(sources: &mut Sources, config: &MetaConfig, tools: &Tools) {
    let graph = graph::Graph::new(tools.client.clone(), config.clone());
    let echoes = Arc::new(echoes::Echoes::default());
    for network in [page::Network::Facebook, page::Network::Instagram] {
        let pages = page::Pages::new(network, graph.clone(), Arc::clone(&echoes));
        sources.providers.push(Arc::new(pages));
    }
    sources.providers.push(Arc::new(phone::Phones::new(graph)));
    for path in ["/facebook", "/whatsapp"] {
        let inlet = inlet::MetaInlet::new(path, config.clone(), Arc::clone(&echoes));
        sources.inlets.push(Arc::new(inlet));
    }
}

fn facebook() -> Source {
    Source::named("facebook")
}

fn instagram() -> Source {
    Source::named("instagram")
}

fn whatsapp_source() -> Source {
    Source::named("whatsapp")
}
