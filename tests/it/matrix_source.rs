//! The databases that the matrix backs up, and the questions it asks them.

use crate::servers::postgres::{Options, TestServer};

/// A name with a space, quotes and Hangul.
pub(crate) const DATABASE: &str = r#"주문 "원장" it's"#;

/// The password of the role that dumps over TCP.
pub(crate) const PASSWORD: &str = "비밀 번호: it's \\ 'odd'";

const ROLES: &str = r#"
create role "소유자" nologin;
create role "App Owner" nologin;
create role reader nologin;
create role backup login superuser;
grant reader to "App Owner";
"#;

const CONTENT: &str = include_str!("matrix_source.sql");

/// Rows of every table, partition and filled materialized view, one `schema|table|rows` a line.
const COUNTS: &str = r"select format('select %L, %L, count(*) from only %I.%I', n.nspname, c.relname, n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (c.relkind = 'r' or c.relkind = 'm' and c.relispopulated) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    order by n.nspname collate \042C\042, c.relname collate \042C\042 \gexec";

/// A table and its rows.
pub(crate) type Rows = (String, String, u64);

/// A server of a major with [`DATABASE`] in it, reached over its socket by everybody and over TCP with a password.
pub(crate) fn server(major: u16) -> TestServer {
    let options = Options { hba: vec!["host all all 127.0.0.1/32 scram-sha-256"], ..Options::default() };
    let server = TestServer::start_with(major, &options);
    server.psql("postgres", ROLES);
    server.psql("postgres", &format!("alter role backup password '{}'", PASSWORD.replace('\'', "''")));
    create(&server, DATABASE, "");
    server.psql(DATABASE, CONTENT);
    server
}

/// Creates a database, with more options.
pub(crate) fn create(server: &TestServer, name: &str, options: &str) {
    server.psql("postgres", &format!("create database {} template template0 {options}", quoted(name)));
}

/// A name as SQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows of every table as the server itself counts them.
pub(crate) fn rows(server: &TestServer, database: &str) -> Vec<Rows> {
    let counted = server.psql(database, &COUNTS.replace("\\042", "\""));
    let parts = counted.lines().map(|line| line.split('|').collect::<Vec<_>>());
    parts.map(|parts| (parts[0].to_owned(), parts[1].to_owned(), parts[2].parse().expect("a count"))).collect()
}

/// The major version of a server, as it tells it.
pub(crate) fn major(server: &TestServer) -> u16 {
    let number: u32 = server.psql("postgres", "show server_version_num").parse().expect("a number");
    u16::try_from(number / 10_000).expect("a small number")
}
