//! Connections that a handler can cut.
//!
//! HTTP has no word for "the other side is gone", so the only true way to lose an answer is to close the socket.
//! Reading from a cut line fails, upon which hyper drops the connection and the handler with it.

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Accepts connections as [`CuttableStream`]s.
pub(crate) struct Lines(pub(crate) TcpListener);

/// The handle to one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(Arc<LineState>);

#[derive(Debug, Default)]
struct LineState {
    is_cut: AtomicBool,
    wake: Notify,
}

pub(crate) struct CuttableStream {
    tcp: TcpStream,
    line: Line,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Line {
    /// Closes the connection. Never returns: the caller is dropped with it.
    pub(crate) async fn cut(self) -> ! {
        self.0.is_cut.store(true, Ordering::SeqCst);
        self.0.wake.notify_one();
        std::future::pending().await
    }
}

impl Listener for Lines {
    type Io = CuttableStream;
    type Addr = Line;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (tcp, _) = Listener::accept(&mut self.0).await;
        let line = Line::default();
        let state = Arc::clone(&line.0);
        let cut = Box::pin(async move { state.wake.notified().await });
        (
            CuttableStream {
                tcp,
                line: line.clone(),
                cut,
            },
            line,
        )
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Line::default())
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.remote_addr().clone()
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The notification is awaited once; a future that has ended must not be polled again.
        let is_cut = self.line.0.is_cut.load(Ordering::SeqCst);
        if is_cut || self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
