//! `tradewind token`: tokens of the API, asked of a running server.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use tradewind_model::{Timestamp, TokenId};

use crate::cli::{client::ServerOptions, output};

#[derive(Debug, Args)]
pub(crate) struct TokenOptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token, and print it on standard output
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value = "agent")]
        scope: ScopeName,
        /// When it ends, such as 2027-01-31T00:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Print all tokens, one a line: id, scope, when it was made, when it ends, name
    List {
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Revoke a token; from then on it is refused
    Revoke {
        /// Its id, which `list` prints
        id: TokenId,
        #[command(flatten)]
        server: ServerOptions,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeName {
    /// Reads conversations, messages and channels
    Read,
    /// Also writes messages, tags conversations and names contacts
    Agent,
    /// Also connects channels and webhooks, and lets people in
    Admin,
}

pub(super) async fn run(options: &TokenOptions) -> anyhow::Result<()> {
    match &options.what {
        What::Create {
            name,
            scope,
            expires_at,
            server,
        } => {
            let scope = scope.to_possible_value().context("no such scope")?;
            let body = json!({
                "name": name,
                "scope": scope.get_name(),
                "expires_at": expires_at,
            });
            let made = server.call("tokens.create", &body).await?;
            output::error(&format!(
                "tradewind: the token's id is {}",
                text(&made, "id")
            ));
            output::say(text(&made, "token"));
        }
        What::List { server } => {
            let tokens = server.call("tokens.list", &json!({})).await?;
            for token in tokens["data"].as_array().into_iter().flatten() {
                let fields = ["id", "scope", "created_at", "expires_at", "name"];
                let fields = fields.map(|field| text(token, field));
                output::say(&fields.join("  "));
            }
        }
        What::Revoke { id, server } => {
            server.call("tokens.revoke", &json!({ "id": id })).await?;
            output::error(&format!("tradewind: {id} is revoked"));
        }
    }
    Ok(())
}

/// A field of an answer; what is absent is a dash.
fn text<'a>(answer: &'a Value, field: &str) -> &'a str {
    answer[field].as_str().unwrap_or("-")
}
