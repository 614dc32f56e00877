//! The attributes of a policy request that decide anything: those of Postfix, and ours for what Postfix doesn't carry.
//!
//! Runs in the listener and in whatever asks. Data only; it trusts nothing and reads nothing.

use std::fmt;

macro_rules! attributes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// One attribute by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Attribute {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Attribute {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As it stands before the `=`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

attributes! {
    /// The command being answered: `CONNECT`, `EHLO`, `HELO`, `MAIL`, `RCPT`, `DATA`, `END-OF-MESSAGE`, `VRFY`, `ETRN`.
    ProtocolState = "protocol_state",
    /// `SMTP` or `ESMTP`.
    ProtocolName = "protocol_name",
    /// The client's address, without brackets.
    ClientAddress = "client_address",
    /// The client's name when it leads back to its address, else `unknown`.
    ClientName = "client_name",
    /// The client's name by its address, checked or not, else `unknown`.
    ReverseClientName = "reverse_client_name",
    /// Its port.
    ClientPort = "client_port",
    /// Our own address.
    ServerAddress = "server_address",
    /// Our own port.
    ServerPort = "server_port",
    /// What it said at EHLO.
    HeloName = "helo_name",
    /// Of MAIL; empty for the null sender too.
    Sender = "sender",
    /// Of RCPT.
    Recipient = "recipient",
    /// How many, at DATA and after.
    RecipientCount = "recipient_count",
    /// The queue file, when there is one.
    QueueId = "queue_id",
    /// The same for all requests about one message.
    Instance = "instance",
    /// What MAIL said, or what was received.
    Size = "size",
    /// Of ETRN.
    EtrnDomain = "etrn_domain",
    /// `yes` under load.
    Stress = "stress",
    /// The mechanism of a successful AUTH.
    SaslMethod = "sasl_method",
    /// Who logged in.
    SaslUsername = "sasl_username",
    /// The AUTH parameter of MAIL.
    SaslSender = "sasl_sender",
    /// The subject's common name in xtext; only of a certificate that verified.
    CcertSubject = "ccert_subject",
    /// The issuer's common name in xtext; only of a certificate that verified.
    CcertIssuer = "ccert_issuer",
    /// The digest of the certificate: hex with colons, verified or not.
    CcertFingerprint = "ccert_fingerprint",
    /// The digest of its public key: hex with colons, verified or not.
    CcertPubkeyFingerprint = "ccert_pubkey_fingerprint",
    /// `TLSv1.3`.
    EncryptionProtocol = "encryption_protocol",
    /// The cipher suite.
    EncryptionCipher = "encryption_cipher",
    /// The bits of its key.
    EncryptionKeysize = "encryption_keysize",
    /// What the mail server's administrator configured for this question.
    PolicyContext = "policy_context",
    /// Ours. Which decision is wanted, by sendmail's name for it (`tls_client`, `check_rcpt`, …), whatever the state.
    Ruleset = "ruleset",
    /// Ours. sendmail's `${verify}`: `OK`, `FAIL`, `NO`, `NOT`, `NONE`, `TEMP`, `PROTOCOL`, `SOFTWARE`, …
    Verify = "verify",
    /// Ours. The leaf certificate, in base64 of DER; then no other attribute is believed about it.
    Certificate = "certificate",
    /// Ours. The subject as a map key, in OpenSSL 3's spelling.
    CertSubject = "cert_subject",
    /// Ours. The issuer as a map key, in OpenSSL 3's spelling.
    CertIssuer = "cert_issuer",
    /// Ours. The subject in OpenSSL 1.1's spelling, where it differs and fits no other name.
    CertSubjectOpenssl1 = "cert_subject_openssl1",
    /// Ours. The issuer in OpenSSL 1.1's spelling, where it differs and fits no other name.
    CertIssuerOpenssl1 = "cert_issuer_openssl1",
    /// Ours. The subject's common name in xtext, verified or not.
    CnSubject = "cn_subject",
    /// Ours. The issuer's common name in xtext, verified or not.
    CnIssuer = "cn_issuer",
    /// Ours. Alternative names: DNS, separated by blanks.
    CertAltnames = "cert_altnames",
    /// Ours. Alternative names: e-mail, separated by blanks.
    CertAltnamesEmail = "cert_altnames_email",
    /// Ours. Alternative names: URI, separated by blanks.
    CertAltnamesUri = "cert_altnames_uri",
    /// Ours. The pin of the public key: `sha256/` and base64.
    CertKey = "cert_key",
    /// Ours. The subjects of the authorities of the verified chain as map keys, separated by blanks.
    CertChain = "cert_chain",
    /// Ours. What the certificate is for: `client`, `server`, `any`, separated by blanks.
    CertPurpose = "cert_purpose",
    /// Ours. The security strength of a SASL layer, in bits.
    AuthSsf = "auth_ssf",
    /// Ours. Who the login may act for.
    AuthAuthor = "auth_author",
    /// Ours. sendmail's `${client_resolve}`: `OK`, `FAIL`, `FORGED`, `TEMP`.
    ClientResolve = "client_resolve",
    /// Ours. The server that mail is to be delivered to, by name. (Postfix's `server_address` is its own.)
    NextHopName = "next_hop_name",
    /// Ours. The same by address.
    NextHopAddress = "next_hop_address",
}

impl Attribute {
    /// By its name, which is written in one way only.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|attribute| attribute.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
