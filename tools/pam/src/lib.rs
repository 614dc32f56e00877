//! A PAM module that asks the saslauthd socket.
