//! The network between a node and the database, which can be cut.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    task::JoinHandle,
};

/// Carries bytes both ways until it is cut; then nothing comes through, and nobody is told so.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    is_cut: Arc<watch::Sender<bool>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let (target, state) = (target.to_owned(), Arc::clone(&is_cut));
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (target, state) = (target.clone(), Arc::clone(&state));
                tokio::spawn(async move {
                    through(&mut state.subscribe()).await;
                    let Ok(far) = TcpStream::connect(&target).await else {
                        return;
                    };
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    tokio::select! {
                        () = carry(near_in, far_out, state.subscribe()) => {}
                        () = carry(far_in, near_out, state.subscribe()) => {}
                    }
                });
            }
        });
        Self {
            address,
            is_cut,
            task,
        }
    }

    pub(super) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(super) fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the network is there.
async fn through(is_cut: &mut watch::Receiver<bool>) {
    let _ = is_cut.wait_for(|is_cut| !is_cut).await;
}

async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut is_cut: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        through(&mut is_cut).await;
        let Ok(count @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        through(&mut is_cut).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
        // A network that is mended is no faster than before.
        tokio::time::sleep(Duration::ZERO).await;
    }
}
