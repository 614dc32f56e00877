//! Mail on its way in: sessions of strangers, people and machines.
