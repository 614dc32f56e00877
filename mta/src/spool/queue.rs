//! The sender's end of the spool: what is there, what became of it, and when it is tried again.
