//! The sasldb file: Berkeley DB hash, GDBM and LMDB, told apart by their own magic.
