//! What operators may see and do: figures as JSON, and the resets. Names in replies are those that they asked for.

use protocol::control::{Login, Request, Reset};
use serde_json::{Value, json};

use super::Dispatcher;
use crate::limiter::CLASSES;
use crate::mapping::{Identity, identity};

impl Dispatcher {
    /// The reply to an operator's request; `house` is what the parent said last.
    pub(crate) fn operator(&mut self, request: &Request, house: Value) -> Value {
        let now = (self.clock)();
        self.limiter.at(now.boot_ns);
        match request {
            Request::Status => self.status(house),
            Request::Limits => self.limits(),
            Request::LimitsOf(login) => self.limits_of(login),
            Request::Reset(reset) => self.reset(reset),
            Request::CacheFlush => {
                self.cache.flush();
                json!({ "done": "cache flushed" })
            }
        }
    }

    fn status(&mut self, house: Value) -> Value {
        let totals = self.totals;
        let pool = self.pool.figures();
        let cache = self.cache.figures();
        let (renewing, notes) = self.renewals.waiting();
        let throttled: serde_json::Map<String, Value> = CLASSES
            .into_iter()
            .map(|class| (class.as_str().into(), self.limiter.throttled_by(class).into()))
            .collect();
        json!({
            "house": house,
            "logins": {
                "accepted": totals.accepted,
                "refused": totals.refused,
                "throttled": totals.throttled,
                "unavailable": totals.unavailable,
                "unreadable": totals.unreadable,
                "unanswered": self.unanswered(),
            },
            "backends": self.backends_status(),
            "limits": { "throttled": throttled },
            "cache": { "entries": cache.entries, "hits": cache.hits, "misses": cache.misses },
            "pool": {
                "threads": pool.threads,
                "running": pool.running,
                "waiting": pool.waiting,
                "done": pool.done,
                "given_up": pool.given_up,
                "renewing": renewing,
                "notes": notes,
            },
            "exchanges": self.exchanges.len(),
            "offers": self.offers.status(),
            "log": { "lost": self.log.lost() },
        })
    }

    /// Asks each backend how it is, so that the answer is of now.
    fn backends_status(&mut self) -> Value {
        let wall = (self.clock)().wall_s;
        for index in 0..self.backends.len() {
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let change = backend.probe(wall);
            self.tell(index, change);
        }
        let of = |backend: &crate::backends::Backend| {
            let health = backend.health();
            json!({
                "name": backend.name(),
                "kind": backend.kind(),
                "trouble": health.trouble.as_ref().map(ToString::to_string),
                "since": health.since,
                "lookups": health.lookups,
                "failures": health.failures,
            })
        };
        self.backends.iter().map(of).collect()
    }

    fn limits(&self) -> Value {
        let classes: Vec<Value> = self
            .limiter
            .figures()
            .into_iter()
            .map(|figures| {
                json!({
                    "class": figures.class.as_str(),
                    "on": figures.on,
                    "rows": figures.rows,
                    "counting": figures.counting,
                    "throttled": figures.throttled,
                    "evicted": figures.evicted,
                })
            })
            .collect();
        let (known, digests) = self.limiter.remembered();
        json!({ "classes": classes, "known_good": known, "digests": digests })
    }

    fn limits_of(&self, login: &Login) -> Value {
        let most = self
            .identities_of(login)
            .iter()
            .map(|identity| {
                let (tag, name) = self.tags(identity);
                self.limiter.of_user(tag, name)
            })
            .min_by_key(|figures| figures.left.iter().map(|(_, left)| *left).min());
        let Some(figures) = most else { return not_a_name() };
        let left: serde_json::Map<String, Value> = figures
            .left
            .into_iter()
            .map(|(class, left)| (class.as_str().into(), left.into()))
            .collect();
        json!({ "left": left, "known_good": figures.known, "digests": figures.digests })
    }

    fn reset(&mut self, reset: &Reset) -> Value {
        let what = match reset {
            Reset::All => {
                self.limiter.reset_all();
                "all failures forgotten".to_owned()
            }
            Reset::User(login) => {
                let identities = self.identities_of(login);
                if identities.is_empty() {
                    return not_a_name();
                }
                for identity in identities {
                    let (tag, name) = self.tags(&identity);
                    self.limiter.reset_user(tag, name);
                }
                format!("failures of {} forgotten", login.login)
            }
            Reset::Source(ip) => {
                self.limiter.reset_source(*ip);
                format!("failures of {ip} and its networks forgotten")
            }
        };
        self.log.say(ipc::config::Level::Info, format_args!("operator: {what}"));
        json!({ "done": what })
    }

    /// Who a login is on the sockets where login and realm are two fields, and on those where they are one name: of
    /// both, the one against whom more is counted is shown.
    fn identities_of(&self, login: &Login) -> Vec<Identity> {
        let of = |mapping| identity(mapping, self.names, &login.login, &login.realm);
        let mut identities: Vec<Identity> = of(&self.mapping).into_iter().collect();
        identities.extend(of(&self.one_name).filter(|other| !identities.contains(other)));
        identities
    }

    /// What failures of this identity are counted by, and what its known-good sources are kept by.
    fn tags(&self, identity: &Identity) -> (u64, u64) {
        let name = self.limiter.name(identity.user.as_bytes(), identity.realm.as_bytes());
        (self.tag(identity, self.chain_of(&identity.realm)), name)
    }
}

fn not_a_name() -> Value {
    json!({ "error": "this can't be a login here: it has characters that names may not have" })
}
