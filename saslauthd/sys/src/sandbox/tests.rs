//! Each list in a process of its own.
