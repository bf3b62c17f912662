//! The command line: one module a command.

mod backup;
#[cfg(target_os = "linux")]
mod bench;
mod client;
mod demo;
mod event;
mod listen;
mod migrate;
pub(crate) mod output;
mod serve;
mod tail;
mod token;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use secrecy::SecretString;

use crate::{
    server::Broken,
    settings::{Flags, Listen, Net},
};

/// Exit code when what the caller said or the surroundings are at fault.
const REFUSED: u8 = 2;

/// Hear every message of every channel on one webhook, and answer with one call.
///
/// Start with `tradewind demo`: it serves a chat page, and a small bot answers what you write there.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
enum Command {
    /// Run the server.
    ///
    /// Prints where it listens. The first start makes an admin token, prints it and keeps it in
    /// DATA/token. SIGTERM or Ctrl-C stops it in order.
    ///
    /// The options but --config are also variables (TRADEWIND_LISTEN, TRADEWIND_DATA, TRADEWIND_DATABASE,
    /// TRADEWIND_WEBHOOK_ALLOW with commas between networks) and a key of the settings file; the command line wins, then the
    /// environment. TRADEWIND_API_TOKEN sets the admin token. TRADEWIND_LOG sets what is logged, such as
    /// "info" or "tradewind_delivery=debug".
    #[command(
        after_help = "Example:\n  tradewind serve --listen 0.0.0.0:8080 --data /var/lib/tradewind\n  TRADEWIND_DATABASE=postgres://tradewind@db/tradewind tradewind serve"
    )]
    Serve(ServeOptions),
    /// See it work: the server, a chat page and an echo bot behind the webhook.
    ///
    /// The bot uses the public API only: it subscribes by webhooks.subscribe, is called over HTTP,
    /// checks the signature and answers by messages.send. Each step is printed as it happens.
    Demo(DemoOptions),
    /// Get webhook deliveries on your own machine, without a tunnel.
    ///
    /// Pulls events from the server and POSTs each to URL, signed and with the headers of a delivery.
    /// The next event of a conversation goes out once the one before was answered with 2xx; what fails
    /// is tried again after 1 s, 2 s, 5 s, and then every 5 s. The secret that signs is printed at the
    /// start; it stays the same as long as the API token does.
    ///
    /// The request is made by this machine, so URL may be any address that this machine reaches:
    /// the server's --webhook-allow has no say in it.
    #[command(
        after_help = "Example:\n  tradewind listen --forward http://localhost:3000/hook --state ./listen.cursor"
    )]
    Listen(listen::ListenOptions),
    /// Print events as they come.
    ///
    /// One line an event: time, source, direction, the end of the conversation's id, text. Goes on when
    /// the server was away. Ctrl-C ends it, and says how to go on from there.
    #[command(after_help = "Example:\n  tradewind tail --from start --json | jq .text")]
    Tail(tail::TailOptions),
    /// Make, list and revoke tokens of the API.
    ///
    /// Asks a running server, as an admin. A token is shown once, when it is made.
    #[command(
        after_help = "Example:\n  tradewind token create --name 'weather bot' --scope agent\n  tradewind token revoke 0192e4a7-7d3c-7c31-9d0b-4b1f4c1b2a11"
    )]
    Token(token::TokenOptions),
    /// Copy the data directory of a running server.
    ///
    /// The copy is what was stored at one moment, and a directory that `serve --data` takes. The server
    /// goes on meanwhile. The record of attempts is not copied. For a PostgreSQL database use its own
    /// means, such as pg_dump.
    #[command(
        after_help = "Example:\n  tradewind backup --data /var/lib/tradewind --to /backup/tradewind-$(date +%F)"
    )]
    Backup(backup::BackupOptions),
    /// Move everything from a data directory into a PostgreSQL database, or back.
    ///
    /// All servers on the source have to be stopped; it is only read. The target has to be empty. A move
    /// that was interrupted goes on where it stopped when the same command is run again. At the end both
    /// are read and compared; until then no server starts on the target. The record of attempts is not
    /// moved.
    #[command(
        after_help = "Example:\n  tradewind migrate --from /var/lib/tradewind --to database\n  tradewind migrate --from database --to /var/lib/tradewind-new"
    )]
    Migrate(migrate::MigrateOptions),
    /// Measure how fast Tradewind is on this machine.
    ///
    /// Starts a server on a directory of its own, a load generator and a receiver, and checks that every
    /// message arrives, in order. In the same run it measures two relays that store nothing: the floor,
    /// which has the same HTTP stack, and the limit, which has only what is needed.
    #[cfg(target_os = "linux")]
    #[command(after_help = "Example:\n  tradewind bench --quick --json figures.json")]
    Bench(bench::BenchOptions),
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BenchPart,
}

#[derive(Debug, Args)]
#[expect(
    clippy::doc_markdown,
    reason = "these comments are help texts, which are not Markdown"
)]
struct ServeOptions {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<Listen>,
    /// The directory that keeps everything; made if it does not exist [default: ./tradewind-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep everything in this PostgreSQL database instead; all servers on one database are a cluster.
    /// TRADEWIND_DATABASE says the same without showing the password to whoever lists processes
    #[arg(long, value_name = "postgres://…")]
    database: Option<SecretString>,
    /// A network that webhooks may reach although it is not public, such as 127.0.0.0/8; can be repeated
    #[arg(long, value_name = "CIDR")]
    webhook_allow: Vec<Net>,
    /// The settings file [default: ./tradewind.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DemoOptions {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8080",
        hide_default_value = true
    )]
    listen: Listen,
    /// The directory that keeps the demo's conversations [default: ./tradewind-demo]
    #[arg(
        long,
        value_name = "DIR",
        default_value = "./tradewind-demo",
        hide_default_value = true
    )]
    data: PathBuf,
    /// What the demo plays
    #[arg(long, value_enum, value_name = "SOURCE", default_value = "chat_plugin")]
    source: DemoSource,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum DemoSource {
    /// Web chat, which needs no account anywhere
    ChatPlugin,
    /// Messenger: your machine plays Meta, so no account is needed either
    Facebook,
}

impl ServeOptions {
    fn into_flags(self) -> Flags {
        let Self {
            listen,
            data,
            database,
            webhook_allow,
            config,
        } = self;
        Flags {
            config,
            listen,
            data,
            database,
            webhook_allow,
        }
    }
}

/// Runs the command that the command line names.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::ValueValidation => {
            // The first line says it all; the rest points to the help.
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            return fail(&anyhow::anyhow!("{}", line.trim_start_matches("error: ")));
        }
        Err(error) => error.exit(),
    };
    #[cfg(target_os = "linux")]
    if matches!(cli.command, Command::BenchPart) {
        return exit_code(crate::bench::run_part());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let ended = match cli.command {
        Command::Serve(options) => runtime.block_on(serve::run(&options.into_flags())),
        Command::Demo(options) => runtime.block_on(demo::run(&options)),
        Command::Listen(options) => runtime.block_on(listen::run(&options)),
        Command::Tail(options) => runtime.block_on(tail::run(&options)),
        Command::Token(options) => runtime.block_on(token::run(&options)),
        Command::Backup(options) => backup::run(&options),
        Command::Migrate(options) => runtime.block_on(migrate::run(&options)),
        #[cfg(target_os = "linux")]
        Command::Bench(options) => runtime.block_on(bench::run(&options)),
        #[cfg(target_os = "linux")]
        Command::BenchPart => unreachable!("it has a runtime of its own"),
    };
    // What still blocks a thread, such as a lookup that hangs, must not keep the process.
    runtime.shutdown_background();
    exit_code(ended)
}

fn exit_code(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    output::error(&format!("tradewind: {error:#}"));
    #[cfg(target_os = "linux")]
    let is_bad = error.is::<crate::bench::Invalid>() || error.is::<bench::Missed>();
    #[cfg(not(target_os = "linux"))]
    let is_bad = false;
    if is_bad || error.is::<Broken>() {
        ExitCode::FAILURE
    } else {
        ExitCode::from(REFUSED)
    }
}
