//! The sender's side of TLS.
