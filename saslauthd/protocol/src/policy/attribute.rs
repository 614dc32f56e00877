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
    /// The command being answered: `CONNECT`, `EHLO`, `HELO`, `MAIL`, `RCPT`, `DATA`, `END-OF-MESSAGE`, `VRFY`, `ETRN`;
    /// ours: `EXPN`.
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
    /// Ours. `final`: whoever asks has no rule of its own. A recipient is answered OK or refused then, never DUNNO.
    Answer = "answer",
    /// Ours. sendmail's `${verify}`: `OK`, `FAIL`, `NO`, `NOT`, `NONE`, `TEMP`, `PROTOCOL`, `SOFTWARE`, …
    Verify = "verify",
    /// Ours. The certificate is good but for its purpose: `yes` beside `verify=FAIL`.
    FailedOnlyByPurpose = "failed_only_by_purpose",
    /// Ours. The leaf certificate in base64 of DER; what other attributes say about it is not looked at then.
    Certificate = "certificate",
    /// Ours. The subject as a map key, in OpenSSL 3's spelling.
    CertSubject = "cert_subject",
    /// Ours. The issuer as a map key, in OpenSSL 3's spelling.
    CertIssuer = "cert_issuer",
    /// Ours. The subject in OpenSSL 1.1's spelling, where it differs and fits no other name.
    CertSubjectOpenssl11 = "cert_subject_openssl_1_1",
    /// Ours. The issuer in OpenSSL 1.1's spelling, where it differs and fits no other name.
    CertIssuerOpenssl11 = "cert_issuer_openssl_1_1",
    /// Ours. The subject's common name in xtext, verified or not.
    CnSubject = "cn_subject",
    /// Ours. The issuer's common name in xtext, verified or not.
    CnIssuer = "cn_issuer",
    /// Ours. Alternative names in xtext: DNS, separated by blanks.
    CertAltnames = "cert_altnames",
    /// Ours. Alternative names in xtext: e-mail, separated by blanks.
    EmailAltnames = "email_altnames",
    /// Ours. Alternative names in xtext: URI, separated by blanks.
    UriAltnames = "uri_altnames",
    /// Ours. The pin of the public key: `sha256/` and base64.
    SpkiSha256 = "spki_sha256",
    /// Ours. Subjects of the authorities of the verified chain as map keys, the issuer first, separated by blanks.
    ChainSubjects = "chain_subjects",
    /// Ours. What the certificate is for: `client`, `server`, `both` or `other`.
    Purpose = "purpose",
    /// Ours. The security strength of a SASL layer, in bits.
    AuthSsf = "auth_ssf",
    /// Ours. sendmail's `${client_resolve}`: `OK`, `FAIL`, `FORGED`, `TEMP`.
    ClientResolve = "client_resolve",
    /// Ours. The server that mail is to be delivered to. (Postfix's `server_address` is its own.)
    ServerName = "server_name",
    /// Ours. That server's address.
    ServerAddr = "server_addr",
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
