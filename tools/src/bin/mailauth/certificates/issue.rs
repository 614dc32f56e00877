//! `mailauth cert init` and `mailauth cert issue`: names in, files out, and the map's lines for a machine.

use std::path::PathBuf;

use protocol::certificate::Certificate;
use rcgen::SanType;

use super::authority::{Authority, Pair, Purpose};
use super::files::{self, Made, Readers};
use super::request::{AlternativeName, FileName, HostName, MAX_COMMON_NAME};
use super::{Place, Server, Subject};
use crate::failure::Failure;
use crate::{note, print};

/// How long a certificate counts unless it is said: what Apple's systems accept at most of private authorities.
const DAYS: u32 = 825;

/// Makes an authority and its first server certificate.
pub(super) fn init(place: &Place, server: Server) -> Result<(), Failure> {
    const NEXT: &str = "issue more certificates with mailauth cert issue, or replace the authority with --force, after \
                        which nothing counts that the old one signed";
    let (certificate, key) = (place.directory.join("ca.pem"), place.directory.join("ca.key"));
    let (server_certificate, server_key) = place.files(&server.file);
    files::directory(&place.directory)?;
    let paths = [&key, &certificate, &server_key, &server_certificate].map(PathBuf::as_path);
    files::vacant(&paths, place.existing, NEXT)?;
    let host = server.names.first().ok_or_else(|| Failure::usage("cert init needs a --name"))?;
    let (authority, authority_key) = Authority::new(host, place.now)?;
    let pair = sign_server(&authority, place, &server)?;
    let chain = format!("{}{}", pair.certificate, authority.certificate);
    let files = [
        Made { path: key, text: &authority_key, readers: Readers::Owner },
        Made { path: certificate, text: &authority.certificate, readers: Readers::Everybody },
        Made { path: server_key, text: &pair.key, readers: Readers::Owner },
        Made { path: server_certificate, text: &chain, readers: Readers::Everybody },
    ];
    files::write(&place.directory, &files, place.existing, NEXT)?;
    note(
        "keep ca.key where nobody else reads it; clients and servers that trust this authority need ca.pem alone",
    );
    Ok(())
}

/// Makes one more certificate.
pub(super) fn issue(place: &Place, subject: Subject) -> Result<(), Failure> {
    const NEXT: &str = "choose another name, or replace it with --force";
    let file = match &subject {
        Subject::Server(server) => &server.file,
        Subject::Client(file, _) => file,
    };
    let (certificate, key) = place.files(file);
    files::vacant(&[&key, &certificate], place.existing, NEXT)?;
    let authority = Authority::read(&place.directory)?;
    let (pair, text) = match &subject {
        Subject::Server(server) => {
            let pair = sign_server(&authority, place, server)?;
            let chain = format!("{}{}", pair.certificate, authority.certificate);
            (pair, chain)
        }
        Subject::Client(name, names) => {
            let pair = sign_client(&authority, place, name, names)?;
            let text = pair.certificate.clone();
            (pair, text)
        }
    };
    let files = [
        Made { path: key, text: &pair.key, readers: Readers::Owner },
        Made { path: certificate, text: &text, readers: Readers::Everybody },
    ];
    files::write(&place.directory, &files, place.existing, NEXT)?;
    match &subject {
        Subject::Server(_) => Ok(()),
        Subject::Client(name, _) => print(&map_lines(name, &pair.certificate)?),
    }
}

impl Place {
    /// Certificate and key.
    fn files(&self, name: &FileName) -> (PathBuf, PathBuf) {
        let file = |ending: &str| self.directory.join(format!("{}.{ending}", name.as_str()));
        (file("pem"), file("key"))
    }
}

fn sign_server(authority: &Authority, place: &Place, server: &Server) -> Result<Pair, Failure> {
    // Nobody reads a server's common name any more (RFC 9525); a long one only has to be short enough.
    let name: String = server.file.as_str().chars().take(MAX_COMMON_NAME).collect();
    let names = server.names.iter().map(of_host).collect::<Result<_, _>>()?;
    authority.sign(&name, names, Purpose::Server, place.now, place.days.unwrap_or(DAYS))
}

fn sign_client(
    authority: &Authority,
    place: &Place,
    name: &FileName,
    names: &[AlternativeName],
) -> Result<Pair, Failure> {
    if name.as_str().len() > MAX_COMMON_NAME {
        return Err(Failure::usage(format!(
            "the name after --client is over {MAX_COMMON_NAME} characters; give the long one as --san"
        )));
    }
    let names = names.iter().map(of_client).collect::<Result<_, _>>()?;
    authority.sign(name.as_str(), names, Purpose::Client, place.now, place.days.unwrap_or(DAYS))
}

fn of_host(host: &HostName) -> Result<SanType, Failure> {
    Ok(match host {
        HostName::Name(name) => SanType::DnsName(ia5(name)?),
        HostName::Address(address) => SanType::IpAddress(*address),
    })
}

fn of_client(name: &AlternativeName) -> Result<SanType, Failure> {
    Ok(match name {
        AlternativeName::Host(host) => of_host(host)?,
        AlternativeName::Mailbox(name) => SanType::Rfc822Name(ia5(name)?),
        AlternativeName::Uri(name) => SanType::URI(ia5(name)?),
    })
}

fn ia5(name: &str) -> Result<rcgen::string::Ia5String, Failure> {
    name.try_into().map_err(|_| Failure::usage("a name in a certificate takes ASCII letters only"))
}

/// What lets the machine relay, as a map has it: the lines can be appended to one.
fn map_lines(name: &FileName, pem: &str) -> Result<String, Failure> {
    let made =
        Certificate::from_pem(pem.as_bytes()).map_err(|why| Failure::failed(why.to_string()))?;
    Ok(format!(
        "# {}: by its key, whoever signs it\nCertKey:{}\tRELAY\n\
         # or by its name, as long as the authority signs it: also with another key\n\
         CertIssuer:{}\tSUBJECT\nCertSubject:{}\tRELAY\n",
        name.as_str(),
        made.public_key,
        made.issuer.openssl_3.text,
        made.subject.openssl_3.text
    ))
}
