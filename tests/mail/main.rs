//! The mta from outside, through the sockets that mail clients and servers use, with the daemon beside it.
