//! A gate before a server: our binary connects through it, people go past it. So a server can be up again, and people
//! back in their rooms, before the binary comes back: else it would say what it owes to a room that is still empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// A gate, open at first.
pub(crate) struct Gate {
    pub(crate) port: u16,
    open: Arc<AtomicBool>,
}

impl Gate {
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let open = Arc::new(AtomicBool::new(true));
        let passes = open.clone();
        tokio::spawn(async move {
            while let Ok((mut outside, _)) = listener.accept().await {
                // Who is not let in sees the connection closed at once.
                if passes.load(Ordering::Relaxed) {
                    tokio::spawn(async move {
                        if let Ok(mut inside) = TcpStream::connect(("127.0.0.1", server)).await {
                            let _ = copy_bidirectional(&mut outside, &mut inside).await;
                        }
                    });
                }
            }
        });
        Self { port, open }
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Relaxed);
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }
}
