//! An endpoint that answers byte by byte as it is told, or does not.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::until_some;

/// What is done with a request. When all is done, the next request is awaited on the same connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Sends this again and again, for ever.
    Flood(Vec<u8>),
    /// Sends this again and again, one byte every 50 ms, for ever.
    Drip(&'static str),
    /// Does nothing until the client goes.
    Hold,
    /// Ends the connection.
    Close,
    /// Ends it with a reset, after a while in which the client can read what came before.
    Reset,
}

impl Step {
    pub(crate) fn send(text: impl Into<Vec<u8>>) -> Self {
        Self::Send(text.into())
    }

    /// What it sends, again and again.
    pub(crate) fn for_ever(self) -> Self {
        match self {
            Self::Send(bytes) => Self::Flood(bytes),
            other => other,
        }
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) head: String,
    pub(crate) event: Value,
    pub(crate) at: Instant,
    /// The number of its connection; 1 for the first.
    pub(crate) connection: usize,
}

impl Arrival {
    pub(crate) fn text(&self) -> &str {
        self.event["text"].as_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.event["id"].as_str().unwrap()
    }
}

/// Decides what to do with a request, knowing those before it.
type Script = Arc<dyn Fn(&Arrival, &[Arrival]) -> Vec<Step> + Send + Sync>;

type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// Listens until it is dropped.
pub(crate) struct Raw {
    pub(crate) address: SocketAddr,
    arrivals: Arrivals,
    task: tokio::task::JoinHandle<()>,
}

impl Raw {
    pub(crate) async fn start(
        script: impl Fn(&Arrival, &[Arrival]) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(None, script).await
    }

    /// One that speaks TLS.
    pub(crate) async fn start_tls(
        tls: TlsAcceptor,
        script: impl Fn(&Arrival, &[Arrival]) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(tls), script).await
    }

    async fn listen(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Arrival, &[Arrival]) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arrivals::default();
        let script: Script = Arc::new(script);
        let task = tokio::spawn({
            let arrivals = Arc::clone(&arrivals);
            async move {
                for connection in 1.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    let visit = Visit {
                        connection,
                        arrivals: Arc::clone(&arrivals),
                        script: Arc::clone(&script),
                    };
                    // That the client has gone is no error of the test.
                    tokio::spawn(visit.play(tls.clone(), stream));
                }
            }
        });
        Self {
            address,
            arrivals,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap().clone()
    }

    /// Waits until `count` requests with this text came, and gives all of those that came.
    pub(crate) async fn wait_for(
        &self,
        text: &str,
        count: usize,
        patience: Duration,
    ) -> Vec<Arrival> {
        let with_text = || -> Vec<Arrival> {
            let mut arrivals = self.arrivals();
            arrivals.retain(|arrival| arrival.text() == text);
            arrivals
        };
        let enough = || Some(with_text()).filter(|came| came.len() >= count);
        until_some(patience, enough, || {
            format!("{} of {count} requests with {text:?}", with_text().len())
        })
        .await
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that a client made.
struct Visit {
    connection: usize,
    arrivals: Arrivals,
    script: Script,
}

impl Visit {
    async fn play(self, tls: Option<TlsAcceptor>, mut stream: TcpStream) -> io::Result<()> {
        if let Some(tls) = tls {
            self.answer(&mut tls.accept(stream).await?).await?;
        } else if self.answer(&mut stream).await? {
            stream.set_zero_linger()?;
        }
        Ok(())
    }

    /// Answers requests until the end, which is a reset if it says so.
    async fn answer(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<bool> {
        loop {
            let arrival = self.read(stream).await?;
            let steps = {
                let mut arrivals = self.arrivals.lock().unwrap();
                let steps = (self.script)(&arrival, &arrivals);
                arrivals.push(arrival);
                steps
            };
            for step in steps {
                match step {
                    Step::Send(bytes) => stream.write_all(&bytes).await?,
                    Step::Flood(bytes) => loop {
                        stream.write_all(&bytes).await?;
                    },
                    Step::Drip(text) => {
                        for byte in text.bytes().cycle() {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            stream.write_all(&[byte]).await?;
                        }
                    }
                    Step::Hold => while stream.read(&mut [0; 512]).await? > 0 {},
                    Step::Close => return Ok(false),
                    Step::Reset => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        return Ok(true);
                    }
                }
                stream.flush().await?;
            }
        }
    }

    async fn read(&self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Arrival> {
        let mut read = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&read);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.unwrap().parse().unwrap() {
                    return Ok(Arrival {
                        head: head.to_owned(),
                        event: serde_json::from_str(body).unwrap(),
                        at: Instant::now(),
                        connection: self.connection,
                    });
                }
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
