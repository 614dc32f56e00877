//! Parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (6152), SMTPUTF8 (6531), AUTH (4954), and those of DSN (3461).
//!
//! Runs in the receiver of the mta, and in the sender, which prints them again. Nothing is trusted: a parameter comes
//! once, is one of these, and its value holds no control character even when it is decoded.

use std::fmt;

use super::Fault;
use crate::xtext::Text;

/// What MAIL says of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// SIZE, in bytes; a promise at best.
    pub size: Option<u64>,
    /// BODY.
    pub body: Option<Body>,
    /// SMTPUTF8.
    pub smtputf8: Smtputf8,
    /// RET.
    pub ret: Option<Return>,
    /// ENVID.
    pub envid: Option<EnvelopeId>,
    /// AUTH.
    pub auth: Option<AuthParameter>,
}

/// What RCPT says of a recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT.
    pub orcpt: Option<OriginalRecipient>,
}

/// Which bytes a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// ASCII.
    SevenBit,
    /// Any in lines.
    EightBitMime,
}

/// Whether addresses and header may have letters beyond ASCII.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Smtputf8 {
    /// Not said.
    #[default]
    Absent,
    /// Said.
    Present,
}

/// How much of a message comes back with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// The sender's own name for the message: at most 100 characters once decoded (RFC 3461 section 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(Text);

impl EnvelopeId {
    /// Takes a name of at most 100 characters.
    pub fn new(text: Text) -> Option<Self> {
        (text.as_str().len() <= 100).then_some(Self(text))
    }

    /// Decoded.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Who the message's first server says has logged in. Believed only from those whom the policy trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthParameter {
    /// `<>`: unknown, or not to be told.
    Nobody,
    /// A mailbox as a rule; any text, since senders have always written bare names too.
    Identity(Text),
}

/// When a recipient's fate is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Never.
    Never,
    /// On these; at least one.
    On(NotifyOn),
}

/// The occasions of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyOn {
    /// `SUCCESS`
    pub success: bool,
    /// `FAILURE`
    pub failure: bool,
    /// `DELAY`
    pub delay: bool,
}

/// The recipient as the sender first wrote it: `rfc822;a@b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822` as a rule.
    pub kind: AddressType,
    /// The address, decoded.
    pub address: Text,
}

/// An atom before the `;` of ORCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressType(Box<str>);

impl AddressType {
    /// Letters, digits and hyphens, at most 40.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=40).contains(&text.len());
        let good = fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        good.then(|| Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl MailParameters {
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        let mut said = Self::default();
        for word in words {
            let (name, value) = named(word);
            match (name.to_ascii_uppercase().as_str(), value) {
                ("SIZE", value) => once(&mut said.size, value.and_then(number))?,
                ("BODY", value) => once(&mut said.body, Some(body(value)?))?,
                ("RET", value) => once(&mut said.ret, value.and_then(ret))?,
                ("ENVID", value) => once(&mut said.envid, value.and_then(envelope_id))?,
                ("AUTH", value) => once(&mut said.auth, value.and_then(identity))?,
                ("SMTPUTF8", None) if said.smtputf8 == Smtputf8::Absent => {
                    said.smtputf8 = Smtputf8::Present;
                }
                ("SMTPUTF8", None) => return Err(Fault::DuplicateParameter),
                ("SMTPUTF8", Some(_)) => return Err(Fault::ParameterValue),
                _ => return Err(Fault::UnknownParameter),
            }
        }
        Ok(said)
    }
}

impl RcptParameters {
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Fault> {
        let mut said = Self::default();
        for word in words {
            let (name, value) = named(word);
            match name.to_ascii_uppercase().as_str() {
                "NOTIFY" => once(&mut said.notify, value.and_then(notify))?,
                "ORCPT" => once(&mut said.orcpt, value.and_then(original))?,
                _ => return Err(Fault::UnknownParameter),
            }
        }
        Ok(said)
    }
}

/// As they follow the path, each after a blank.
impl fmt::Display for MailParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.size.map_or(Ok(()), |size| write!(f, " SIZE={size}"))?;
        f.write_str(match self.body {
            None => "",
            Some(Body::SevenBit) => " BODY=7BIT",
            Some(Body::EightBitMime) => " BODY=8BITMIME",
        })?;
        f.write_str(if self.smtputf8 == Smtputf8::Present { " SMTPUTF8" } else { "" })?;
        f.write_str(match self.ret {
            None => "",
            Some(Return::Full) => " RET=FULL",
            Some(Return::Headers) => " RET=HDRS",
        })?;
        self.envid.as_ref().map_or(Ok(()), |EnvelopeId(id)| write!(f, " ENVID={id}"))?;
        match &self.auth {
            None => Ok(()),
            Some(AuthParameter::Nobody) => f.write_str(" AUTH=<>"),
            Some(AuthParameter::Identity(text)) => write!(f, " AUTH={text}"),
        }
    }
}

/// As they follow the path, each after a blank.
impl fmt::Display for RcptParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.notify {
            None => {}
            Some(Notify::Never) => f.write_str(" NOTIFY=NEVER")?,
            Some(Notify::On(NotifyOn { success, failure, delay })) => {
                let occasions = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let wanted = occasions.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name);
                write!(f, " NOTIFY={}", wanted.collect::<Vec<_>>().join(","))?;
            }
        }
        match &self.orcpt {
            None => Ok(()),
            Some(OriginalRecipient { kind, address }) => write!(f, " ORCPT={};{address}", kind.0),
        }
    }
}

/// `NAME=value` or `NAME`.
fn named(word: &str) -> (&str, Option<&str>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)))
}

fn once<T>(place: &mut Option<T>, value: Option<T>) -> Result<(), Fault> {
    if place.is_some() {
        return Err(Fault::DuplicateParameter);
    }
    *place = Some(value.ok_or(Fault::ParameterValue)?);
    Ok(())
}

/// 1 to 20 digits (RFC 1870 section 4) that fit; nothing but digits.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn body(value: Option<&str>) -> Result<Body, Fault> {
    match value.map(str::to_ascii_uppercase).as_deref() {
        Some("7BIT") => Ok(Body::SevenBit),
        Some("8BITMIME") => Ok(Body::EightBitMime),
        Some("BINARYMIME") => Err(Fault::ParameterNotImplemented),
        _ => Err(Fault::ParameterValue),
    }
}

fn ret(value: &str) -> Option<Return> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(Return::Full),
        "HDRS" => Some(Return::Headers),
        _ => None,
    }
}

fn envelope_id(value: &str) -> Option<EnvelopeId> {
    Text::decode(value).and_then(EnvelopeId::new)
}

fn identity(value: &str) -> Option<AuthParameter> {
    match value {
        "<>" => Some(AuthParameter::Nobody),
        // `<>` in escapes would be printed without them: somebody would turn into nobody.
        other => {
            Text::decode(other).filter(|text| text.as_str() != "<>").map(AuthParameter::Identity)
        }
    }
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let mut on = NotifyOn::default();
    for occasion in value.split(',') {
        let place = match occasion.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut on.success,
            "FAILURE" => &mut on.failure,
            "DELAY" => &mut on.delay,
            _ => return None,
        };
        if std::mem::replace(place, true) {
            return None;
        }
    }
    Some(Notify::On(on))
}

fn original(value: &str) -> Option<OriginalRecipient> {
    let (kind, address) = value.split_once(';')?;
    Some(OriginalRecipient { kind: AddressType::new(kind)?, address: Text::decode(address)? })
}
