//! OpenSSL's lists of ciphers, as far as rustls has the ciphers.
//!
//! Runs in the sender; the lists come from the access map.

/// A cipher of TLS 1.2, and what words OpenSSL knows it by.
struct Cipher {
    name: &'static str,
    words: &'static [&'static str],
}

const COMMON: [&str; 9] =
    ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "TLSv1.2"];

const CIPHERS: [Cipher; 6] = [
    Cipher {
        name: "ECDHE-ECDSA-AES256-GCM-SHA384",
        words: &["aECDSA", "ECDSA", "AES", "AES256", "AESGCM"],
    },
    Cipher { name: "ECDHE-RSA-AES256-GCM-SHA384", words: &["aRSA", "AES", "AES256", "AESGCM"] },
    Cipher { name: "ECDHE-ECDSA-CHACHA20-POLY1305", words: &["aECDSA", "ECDSA", "CHACHA20"] },
    Cipher { name: "ECDHE-RSA-CHACHA20-POLY1305", words: &["aRSA", "CHACHA20"] },
    Cipher {
        name: "ECDHE-ECDSA-AES128-GCM-SHA256",
        words: &["aECDSA", "ECDSA", "AES", "AES128", "AESGCM"],
    },
    Cipher { name: "ECDHE-RSA-AES128-GCM-SHA256", words: &["aRSA", "AES", "AES128", "AESGCM"] },
];

/// Those of TLS 1.3.
const SUITES: [&str; 3] =
    ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];

/// What a list of ciphers of TLS 1.2 leaves of ours, in its order; words that nobody knows name nothing, as with OpenSSL.
pub(super) fn ciphers(list: &str) -> Vec<&'static str> {
    let mut chosen: Vec<&'static str> = Vec::new();
    let mut killed: Vec<&'static str> = Vec::new();
    for item in list.split([':', ',', ' ', ';']).filter(|item| !item.is_empty()) {
        let (operator, rest) = match item.as_bytes().first() {
            Some(operator @ (b'!' | b'-' | b'+')) => (*operator, item.get(1..).unwrap_or_default()),
            _ => (b' ', item),
        };
        let named: Vec<&'static str> = match rest.starts_with('@') {
            true => Vec::new(),
            false => {
                CIPHERS.iter().filter(|cipher| is_named(cipher, rest)).map(|c| c.name).collect()
            }
        };
        match operator {
            b' ' => {
                let new = |name: &&str| !chosen.contains(name) && !killed.contains(name);
                let new: Vec<_> = named.into_iter().filter(new).collect();
                chosen.extend(new);
            }
            b'+' => {
                let moved: Vec<_> =
                    chosen.iter().copied().filter(|name| named.contains(name)).collect();
                chosen.retain(|name| !named.contains(name));
                chosen.extend(moved);
            }
            other => {
                chosen.retain(|name| !named.contains(name));
                if other == b'!' {
                    killed.extend(named);
                }
            }
        }
    }
    chosen
}

/// What a list of ciphers of TLS 1.3 leaves of ours, in its order.
pub(super) fn suites(list: &str) -> Vec<&'static str> {
    let find = |item: &str| SUITES.into_iter().find(|suite| *suite == item);
    list.split([':', ',', ' ']).filter_map(find).collect()
}

/// `HIGH`, `ECDHE+AESGCM`: all words of it.
fn is_named(cipher: &Cipher, words: &str) -> bool {
    cipher.name == words
        || words.split('+').all(|word| COMMON.contains(&word) || cipher.words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_the_ciphers_that_openssl_has_for_them() {
        let short = |list: &str| {
            let name = |name: &str| {
                let name = name.strip_prefix("ECDHE-").unwrap().replace("-POLY1305", "");
                name.replace("-GCM-SHA256", "").replace("-GCM-SHA384", "")
            };
            ciphers(list).into_iter().map(name).collect::<Vec<_>>().join(" ")
        };
        for (list, left) in [
            ("HIGH", "ECDSA-AES256 RSA-AES256 ECDSA-CHACHA20 RSA-CHACHA20 ECDSA-AES128 RSA-AES128"),
            ("HIGH:!aRSA", "ECDSA-AES256 ECDSA-CHACHA20 ECDSA-AES128"),
            ("aRSA+AESGCM", "RSA-AES256 RSA-AES128"),
            ("ECDHE+CHACHA20:AES128:!ECDSA", "RSA-CHACHA20 RSA-AES128"),
            ("ECDHE-RSA-AES128-GCM-SHA256", "RSA-AES128"),
            ("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", "RSA-AES128 RSA-AES256"),
            ("aRSA:+AES256", "RSA-CHACHA20 RSA-AES128 RSA-AES256"),
            ("aRSA:-AES:AES128", "RSA-CHACHA20 ECDSA-AES128 RSA-AES128"),
            ("aRSA:!AES:AES128+aRSA:@STRENGTH", "RSA-CHACHA20"),
            ("DEFAULT:!AES:!aECDSA", "RSA-CHACHA20"),
            ("HIGHaRSA", ""),
            ("kRSA:DHE:3DES:AES256-SHA", ""),
            ("HIGH:!HIGH:HIGH", ""),
            ("", ""),
        ] {
            assert_eq!(short(list), left, "{list}");
        }
    }

    #[test]
    fn suites_are_named_one_by_one() {
        assert_eq!(
            suites("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_256_GCM_SHA384"),
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]
        );
        assert!(suites("HIGH").is_empty());
    }
}
