//! A way to the database that can be cut: then nothing goes through in either direction, and nobody is told, as when
//! a cable is pulled.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};
use tokio_util::task::TaskTracker;

/// The way; open until it is cut.
pub(super) struct Proxy {
    /// Where it begins.
    pub(super) address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Proxy {
    /// A way to this port of 127.0.0.1.
    pub(super) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                let inner = tasks.clone();
                tasks.spawn(async move {
                    if is_open.wait_for(|open| *open).await.is_err() {
                        return;
                    }
                    if let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await {
                        let (from_near, to_near) = near.into_split();
                        let (from_far, to_far) = far.into_split();
                        inner.spawn(pass_on(from_near, to_far, is_open.clone()));
                        inner.spawn(pass_on(from_far, to_near, is_open));
                    }
                });
            }
        });
        Self { address, open }
    }

    pub(super) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn heal(&self) {
        self.open.send_replace(true);
    }
}

async fn pass_on(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut is_open: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if is_open.wait_for(|open| *open).await.is_err() {
            return;
        }
        let some = buffer.get(..count).unwrap_or_default();
        if to.write_all(some).await.is_err() {
            return;
        }
    }
}
