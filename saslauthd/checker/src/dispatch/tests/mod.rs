//! Whole logins through a dispatcher with real backends in temporary files; time is set by the tests.

mod answers;
mod attacks;
mod client;
mod exchanges;
mod house;
mod overload;
mod remembering;
mod sasl_attacks;
mod searches;
