//! The access map and its decisions.
