//! A child's end of its channel to the parent: orders, the log, and connections to the daemon that the child itself
//! could not make.
