//! Logins, checked by the daemon: SMTP's AUTH on one side, Dovecot's auth protocol or Cyrus's mux on the other.
//!
//! One connection is held and shared by all sessions. Nothing here knows a password longer than it takes to pass it on.
