//! SASL mechanisms on rsasl.
