//! A table of another program, asked by hostile names, and while that program misbehaves.

use std::fs;
use std::time::Instant;

use credentials::Reason;

use super::*;
use crate::testing::*;

const BY_USER: &str = "SELECT pw FROM users WHERE name = '%u' AND realm = %r";

/// A table as an administrator has it.
fn place() -> Place {
    let place = Place::new();
    place
        .other_program()
        .execute_batch(&format!(
            "CREATE TABLE users (name, realm, pw, off, ends, where_from, what);
             INSERT INTO users (name, realm, pw) VALUES ('vic', 'example.org', '{}');",
            ssha256("secret")
        ))
        .unwrap();
    place
}

fn query(place: &Place, template: &str) -> Query {
    let template = Template::compile(template).unwrap();
    Query::new(&place.path, template, Policy::default(), Shape::plain())
}

fn asked<'a>(user: &'a [u8], realm: &'a [u8]) -> Asked<'a> {
    Asked { user, realm, service: b"smtp" }
}

const VIC: Asked<'static> = Asked { user: b"vic", realm: b"example.org", service: b"smtp" };

/// What the start says of a query.
fn complaint(template: &str) -> String {
    query(&place(), template).health().unwrap_err().to_string()
}

#[test]
fn the_right_password_of_the_right_name_is_accepted() {
    let place = place();
    for template in [
        BY_USER,
        "SELECT pw FROM users WHERE name = %u AND realm = '%r'",
        "SELECT pw FROM users WHERE name||'@'||realm = '%u@%r'",
        "WITH t AS (SELECT * FROM users) SELECT pw FROM t WHERE name = %u AND realm = %d",
        "select pw from users where name = %u -- and realm = '%x'",
    ] {
        let mut query = query(&place, template);
        assert_eq!(query.health(), Ok(()), "{template}");
        let vic = found(query.lookup(&VIC, NOW));
        assert!(accepts(&vic, "secret") && !accepts(&vic, "x") && vic.own.is_none());
        assert!(is_not_found(query.lookup(&asked(b"nobody", b"example.org"), NOW)));
    }
}

#[test]
fn c1_hostile_names_are_unknown_names_and_change_nothing() {
    let place = place();
    let before = fs::read(&place.path).unwrap();
    for template in [
        BY_USER,
        "SELECT pw FROM users WHERE name = %u AND realm = %r",
        "SELECT pw FROM users WHERE name||'@'||realm = '%u@%d'",
    ] {
        let mut query = query(&place, template);
        for hostile in HOSTILE {
            assert!(is_not_found(query.lookup(&asked(hostile, b"example.org"), NOW)));
            assert!(is_not_found(query.lookup(&asked(hostile, hostile), NOW)));
        }
    }
    let mut by_service = query(&place, "SELECT pw FROM users WHERE name = %s");
    for hostile in HOSTILE {
        assert!(is_not_found(by_service.lookup(&Asked { service: hostile, ..VIC }, NOW)));
    }
    assert_eq!(fs::read(&place.path).unwrap(), before);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// In one pass: what a name brings along is never a quote, a sequence or SQL.
    #[test]
    fn c2_a_value_is_itself_wherever_it_stands(
        user in "[-a%'\"urds@;\\\\?:é]{1,12}",
        realm in "[-a%'\"urds@;?é]{0,12}",
        before in "[a' \"?-]{0,4}",
        between in "[a' @%-]{0,4}",
    ) {
        let literal = |text: &str| text.replace('\'', "''").replace('%', "%%");
        let text = format!("SELECT '{}%u{}%r', %u, '%r%%u'", literal(&before), literal(&between));
        let template = Template::compile(&text).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let asked = asked(user.as_bytes(), realm.as_bytes());
        let mut statement = connection.prepare(template.sql()).unwrap();
        for (at, slot) in template.slots().iter().enumerate() {
            statement.raw_bind_parameter(at + 1, asked.value(*slot)).unwrap();
        }
        let mut rows = statement.raw_query();
        let row = rows.next().unwrap().unwrap();
        let column = |at| row.get::<_, String>(at).unwrap();
        proptest::prop_assert_eq!(column(0), format!("{before}{user}{between}{realm}"));
        proptest::prop_assert_eq!(column(1), user);
        proptest::prop_assert_eq!(column(2), format!("{realm}%u"));
    }
}

#[test]
fn c1_a_row_with_a_hostile_name_is_found_by_exactly_that_name() {
    let place = place();
    let other = place.other_program();
    let mut query = query(&place, BY_USER);
    for hostile in HOSTILE {
        let Ok(text) = std::str::from_utf8(hostile) else { continue };
        if text.is_empty() || text.contains('\0') || text.len() > protocol::Name::MAX {
            continue;
        }
        other
            .execute(
                "INSERT INTO users (name, realm, pw) VALUES (?1, 'h', ?2)",
                [text, &ssha256(text)],
            )
            .unwrap();
        assert!(accepts(&found(query.lookup(&asked(hostile, b"h"), NOW)), text));
    }
}

#[test]
fn the_domain_is_what_follows_the_last_at_or_else_the_realm() {
    let place = place();
    let mut query = query(&place, "SELECT NULL AS pw, %d AS services");
    for (user, realm, domain) in [
        (&b"vic@a.example"[..], &b"b"[..], &b"a.example"[..]),
        (b"vic", b"b", b"b"),
        (b"vic@x@a.example", b"b", b"a.example"),
    ] {
        let answer = found(query.lookup(&asked(user, realm), NOW));
        assert!(answer.restrictions.services.contains(domain));
    }
}

#[test]
fn b2_null_and_blank_passwords_let_nobody_in() {
    let place = place();
    let mut query = query(&place, BY_USER);
    for sql in ["NULL", "''", "'  '"] {
        place.other_program().execute(&format!("UPDATE users SET pw = {sql}"), []).unwrap();
        let vic = found(query.lookup(&VIC, NOW));
        assert!(is_unusable(&vic, Reason::NoPassword), "{sql}");
    }
}

#[test]
fn d1_unknown_names_are_like_the_records_found_so_far_each_counted_once() {
    let place = place();
    let mut query = query(&place, BY_USER);
    let before = query.stand_in().clone();
    assert!(is_not_found(query.lookup(&asked(b"nobody", b""), NOW)));
    place.other_program().execute("UPDATE users SET pw = '!'", []).unwrap();
    assert!(is_unusable(&found(query.lookup(&VIC, NOW)), Reason::Locked));
    assert_eq!(*query.stand_in(), before);
    place.other_program().execute("UPDATE users SET pw = ?1", [ssha256("x")]).unwrap();
    let shape = found(query.lookup(&VIC, NOW)).entry.verifier.shape();
    assert_eq!(*query.stand_in(), shape);
    for _ in 0..3 {
        let _ = query.lookup(&VIC, NOW);
    }
    assert_eq!(query.counted.len(), 1);
}

#[test]
fn c3_two_rows_are_nobody_and_the_operator_hears_of_it() {
    let place = place();
    let mut query = query(&place, BY_USER);
    let other = place.other_program();
    other
        .execute("INSERT INTO users (name, realm, pw) SELECT name, realm, pw FROM users", [])
        .unwrap();
    let vic = found(query.lookup(&VIC, NOW));
    assert!(is_unusable(&vic, Reason::Ambiguous) && !accepts(&vic, "secret"));
    assert!(vic.complaint.unwrap().to_string().contains("more than one row"));
}

#[test]
fn c3_values_of_a_wrong_type_are_an_outage() {
    let place = place();
    let other = place.other_program();
    let mut by_password = query(&place, BY_USER);
    for sql in ["7", "7.5", "x'41'", "CAST(x'ff' AS TEXT)"] {
        other.execute(&format!("UPDATE users SET pw = {sql}"), []).unwrap();
        assert!(unavailable(by_password.lookup(&VIC, NOW)).contains("password"), "{sql}");
    }
    other.execute("UPDATE users SET pw = NULL", []).unwrap();
    for (column, value) in [
        ("disabled", "'maybe'"),
        ("disabled", "0.0"),
        ("expires", "'2030-01-01'"),
        ("services", "5"),
        ("networks", "'office'"),
        ("networks", "x'00'"),
    ] {
        let mut query = query(&place, &format!("SELECT pw, {value} AS {column} FROM users"));
        assert!(unavailable(query.lookup(&VIC, NOW)).contains(column), "{column} {value}");
    }
}

#[test]
fn optional_columns_close_and_limit_accounts() {
    let place = place();
    let standing = |column: &str| {
        let mut query = query(&place, &format!("SELECT pw, {column} FROM users WHERE name = %u"));
        found(query.lookup(&VIC, NOW)).entry.standing
    };
    for open in ["NULL", "0", "'0'", "''", "'no'", "'False'"] {
        assert_eq!(standing(&format!("{open} AS disabled")), Ok(()), "{open}");
    }
    for closed in ["1", "-1", "'1'", "'Y'", "'true'"] {
        assert_eq!(standing(&format!("{closed} AS Disabled")), Err(Reason::Disabled), "{closed}");
    }
    assert_eq!(standing("NULL AS expires"), Ok(()));
    assert_eq!(standing(&format!("{} AS expires", NOW.0 + 1)), Ok(()));
    assert_eq!(standing(&format!("{} AS expires", NOW.0)), Err(Reason::AccountExpired));
    let mut query = query(&place, "SELECT pw, 'imap' AS services, '::1' AS networks FROM users");
    let vic = found(query.lookup(&VIC, NOW));
    assert_eq!(vic.restrictions.admit(b"smtp", None), Err(Reason::ServiceNotAllowed));
    assert_eq!(
        vic.restrictions.admit(b"imap", Some([192, 0, 2, 1].into())),
        Err(Reason::NetworkNotAllowed)
    );
    assert_eq!(vic.restrictions.admit(b"imap", "::1".parse().ok()), Ok(()));
}

#[test]
fn c5_a_change_of_any_column_changes_the_generation() {
    let place = place();
    let mut query =
        query(&place, "SELECT pw, off AS disabled, ends AS expires FROM users WHERE name = %u");
    let mut seen = vec![found(query.lookup(&VIC, NOW)).entry.generation];
    for change in ["off = 0", "ends = 1900000000", "pw = 'x'", "pw = NULL"] {
        place.other_program().execute(&format!("UPDATE users SET {change}"), []).unwrap();
        let generation = found(query.lookup(&VIC, NOW)).entry.generation;
        assert!(!seen.contains(&generation), "{change}");
        seen.push(generation);
    }
}

#[test]
fn anything_but_one_harmless_select_is_a_start_up_error() {
    for template in [
        "DELETE FROM users RETURNING pw",
        "UPDATE users SET pw = 'x' RETURNING pw",
        "INSERT INTO users (name) VALUES (%u) RETURNING pw",
        "WITH t AS (SELECT 1) INSERT INTO users (name) SELECT %u RETURNING pw",
        "PRAGMA user_version",
        "PRAGMA query_only = 0",
        "ATTACH '/tmp/x.db' AS x",
        "BEGIN",
        "EXPLAIN SELECT pw FROM users",
        "",
        "-- nothing",
        "VALUES ('x')",
    ] {
        assert!(complaint(template).contains("must be a SELECT"), "{template}");
    }
    assert!(complaint("SELECT pw FROM users; SELECT 1").contains("more than one statement"));
    assert!(
        complaint("SELECT pw FROM users WHERE name = %u; DROP TABLE users")
            .contains("more than one")
    );
    assert!(complaint("SELECT pw FROM nowhere").contains("nowhere"));
    assert!(complaint("SELECT pw, off AS disable FROM users").contains("\"disable\""));
    assert!(
        complaint("SELECT pw, 1 AS disabled, 2 AS DISABLED FROM users").contains("two columns")
    );
    assert_eq!(query(&place(), "SELECT pw FROM users ;  -- end").health(), Ok(()));
}

#[test]
fn a_query_loads_no_extension() {
    let mut query = query(&place(), "SELECT load_extension('/tmp/x.so')");
    let _ = query.health();
    assert!(!unavailable(query.lookup(&VIC, NOW)).is_empty());
}

#[test]
fn a_query_without_an_end_is_an_outage_after_a_second() {
    let place = place();
    let endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) \
                   SELECT 'x' FROM t WHERE n < 0";
    let mut query = query(&place, endless);
    assert_eq!(query.health(), Ok(()));
    let start = Instant::now();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("took longer"));
    assert!(start.elapsed() < 3 * crate::database::DEADLINE);
    assert_eq!(query.health(), Ok(()), "the next one has a deadline of its own");
}

#[test]
fn a_query_that_builds_too_much_is_an_outage() {
    let place = place();
    let mut query = query(&place, "SELECT replace(hex(zeroblob(400000)), '0', 'xxxxxxxx')");
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("too big"));
}

#[test]
fn a_file_that_is_away_locked_or_replaced_is_an_outage_and_then_over() {
    let place = place();
    let mut query = query(&place, BY_USER);
    assert!(accepts(&found(query.lookup(&VIC, NOW)), "secret"));
    let other = place.other_program();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("locked"));
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let away = place.directory.path().join("away.db");
    fs::rename(&place.path, &away).unwrap();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("no such file"));
    assert!(unavailable(query.lookup(&asked(b"\xff", b""), NOW)).contains("no such file"));
    fs::write(&place.path, b"not a database, but long enough to be looked at as one".repeat(20))
        .unwrap();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("damaged"));
    fs::write(&place.path, b"").unwrap();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("users"));
    fs::rename(&away, &place.path).unwrap();
    assert!(accepts(&found(query.lookup(&VIC, NOW)), "secret"));
}

#[test]
fn the_tables_may_change_under_the_query() {
    let place = place();
    let mut query = query(&place, "SELECT * FROM (SELECT pw FROM users WHERE name = %u)");
    assert!(accepts(&found(query.lookup(&VIC, NOW)), "secret"));
    place.other_program().execute_batch("ALTER TABLE users RENAME COLUMN pw TO pass").unwrap();
    assert!(unavailable(query.lookup(&VIC, NOW)).contains("pw"));
    place.other_program().execute_batch("ALTER TABLE users RENAME COLUMN pass TO pw").unwrap();
    assert!(accepts(&found(query.lookup(&VIC, NOW)), "secret"));
}

#[test]
fn c6_two_queries_on_one_file_keep_their_own_filters() {
    let place = place();
    let mut smtp = query(&place, "SELECT pw FROM users WHERE name = %u AND %s = 'smtp'");
    let mut imap = query(&place, "SELECT pw FROM users WHERE name = %u AND %s = 'imap'");
    assert!(accepts(&found(smtp.lookup(&VIC, NOW)), "secret"));
    assert!(is_not_found(imap.lookup(&VIC, NOW)));
    assert!(is_not_found(smtp.lookup(&Asked { service: b"imap", ..VIC }, NOW)));
}

#[test]
fn the_database_is_open_for_reading_alone() {
    let place = place();
    let connection = open_foreign(&place.path, BUSY).unwrap();
    for sql in ["UPDATE users SET pw = 'x'", "CREATE TABLE x (y)", "ATTACH ':memory:' AS m"] {
        assert!(connection.execute_batch(sql).is_err(), "{sql}");
    }
    assert!(connection.execute_batch("PRAGMA query_only = 0; UPDATE users SET pw = 'x'").is_err());
}
