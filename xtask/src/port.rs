//! Loopback ports: free, taken, and how to say so.

use std::net::{TcpListener, TcpStream};

use anyhow::{Result, bail};

/// Fails, naming the variable to change, when somebody already listens on the port.
pub fn require_free(port: u16, what: &str, variable: &str) -> Result<()> {
    if is_open(port) || TcpListener::bind(("127.0.0.1", port)).is_err() {
        bail!(
            "port {port} is in use by another program; choose another for {what}: {variable}={}",
            pick_free()?
        );
    }
    Ok(())
}

/// Whether somebody answers there.
pub fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A port that is free now.
pub fn pick_free() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
