//! Decisions of the daemon's access map: who may relay, and which TLS must be.
//!
//! One question is one request on the policy socket. No answer is a temporary failure, and never a yes.
