//! A database with everything `pg_dump` knows, and what the archive tests do with it.

#![expect(clippy::unwrap_used, reason = "what a test needs and does not get is its failure")]

use std::sync::Arc;

use runner::archive::{Comparison, Fingerprint, Form, compare, fingerprint};
use runner::postgres::PassFile;
use runner::stream::bytes::{collect, stream_of};
use runner::stream::child::Program;
use runner::stream::{Cancel, Chunk, Pull, Stream, StreamError};

use crate::servers::postgres::{TestServer, tools};

/// The name of the seeded database.
pub(crate) const DATABASE: &str = "주문 DB";

/// Every kind of object and type that a dump may hold.
pub(crate) const SEED: &str = r#"
create role owner_of_some;
create extension hstore;
create extension pg_trgm;
create extension citext;
create extension pgcrypto;
create schema "판매 ""특가""";
comment on schema "판매 ""특가""" is '한글 설명; Type: TABLE; Schema: x';
create type mood as enum ('sad', '행복', 'a''b');
create domain positive as int check (value > 0);
create type pair as (a int, b text);
create type span as range (subtype = float8);
create table "판매 ""특가"""."주문, (내역)" ("번호" int primary key, "Na""me, (x)" text, memo citext);
insert into "판매 ""특가"""."주문, (내역)" select n, E'줄\n바꿈\t탭\\.' || n, 'M' from generate_series(1, 500) n;
create table everything (
    id bigint generated always as identity primary key, b bool, c "char", s smallint, r real, d double precision, n numeric,
    t text, v varchar(20), ch char(5), bin bytea, da date, ti time, tz timetz, ts timestamp, tsz timestamptz, iv interval,
    u uuid, j json, jb jsonb, x xml, ip inet, ci cidr, mac macaddr, bi bit(3), vb varbit, p point, l lseg, bx box, pa path,
    po polygon, ccl circle, ln line, tsv tsvector, tsq tsquery, ir int4range, mr int4multirange, arr int[], arr2 text[][], mo mood,
    pos positive, pr pair, sp span, h hstore, o oid, rc regclass, mny money, twice int generated always as (s * 2) stored
);
insert into everything (b, c, s, r, d, n, t, v, ch, bin, da, ti, tz, ts, tsz, iv, u, j, jb, x, ip, ci, mac, bi, vb, p, l, bx, pa, po,
    ccl, ln, tsv, tsq, ir, mr, arr, arr2, mo, pos, pr, sp, h, o, rc, mny)
select n % 2 = 0, 'x', n, n / 3.0, n / 7.0, n / 9.0, '한글 ' || n, 'v', 'ch', decode(repeat('00ff', n), 'hex'), '2026-01-01', '12:00:01.5',
    '12:00+09', '2026-01-01 00:00', '2026-07-01 00:00+00', '1 mon 2 days -03:00', '00000000-0000-0000-0000-000000000001', '{"a": 1}',
    '{"b": [1, null]}', '<a>글</a>', '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '101', '10', '(1,2)', '[(0,0),(1,1)]',
    '(1,1),(0,0)', '[(0,0),(1,1)]', '((0,0),(1,1),(1,0))', '<(0,0),1>', '{1,2,3}', 'a b', 'a & b', '[1,5)', '{[1,2),[3,4)}', '{1,NULL,3}',
    '{{a,"b c"},{"",NULL}}', '행복', n, '(1,"x y")', '[1.5,2.5)', 'a=>1', 16384, 'pg_class', 12.34 from generate_series(1, 50) n;
insert into everything (r, d, n, t, ts, da) values ('NaN', 'infinity', 'NaN', '', 'infinity', '-infinity'), ('-infinity', '-0', null, null, null, null);
insert into everything (t) select repeat('긴 줄 ', 200000);
create table empty_one (id int);
create table no_columns ();
insert into no_columns default values; insert into no_columns default values;
create unlogged table unlogged_one (a int); insert into unlogged_one values (1), (1), (1);
create table events (at date not null, n int) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
insert into events select '2025-12-30'::date + n, n from generate_series(0, 9) n;
create table by_mood (m mood, n int) partition by hash (m);
create table by_mood_0 partition of by_mood for values with (modulus 2, remainder 0);
create table by_mood_1 partition of by_mood for values with (modulus 2, remainder 1);
insert into by_mood select ('{sad,행복,a''b}'::mood[])[1 + n % 3], n from generate_series(1, 30) n;
create table parent (a int, b text);
create table child (c int) inherits (parent);
insert into parent values (1, 'p'); insert into child values (2, 'c', 3), (4, 'c', 5);
alter table parent add column d int default 7;
create table gone (a int, b int, c int); alter table gone drop column b; insert into gone values (1, 3);
create table users (id serial primary key, name text unique not null, constraint named check (name <> ''));
create table orders (id int primary key, user_id int references users on delete cascade, total numeric(10, 2));
insert into users (name) select 'user ' || n from generate_series(1, 200) n;
insert into orders select n, n, n * 1.5 from generate_series(1, 200) n;
create index orders_total on orders (total) where total > 10;
create statistics orders_stats on id, user_id from orders;
alter table users enable row level security;
create policy mine on users using (name = current_user);
create sequence counting increment 5; select nextval('counting'), nextval('counting');
create sequence untouched;
create sequence falling increment -1 maxvalue -1; select nextval('falling');
create view looking as select * from orders where total > 5;
create materialized view filled as select count(*) from orders;
create materialized view unfilled as select * from orders with no data;
create function shout(text) returns text language sql as $$ select upper($1) /*
--
-- Name: fake; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.fake (a) FROM stdin;
*/ $$;
create function note() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger noting before insert on orders for each row execute function note();
create procedure nothing() language sql as $$ select 1 $$;
create aggregate total(int) (sfunc = int4pl, stype = int);
create function on_ddl() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watching on ddl_command_end execute function on_ddl();
create rule ignoring as on delete to empty_one do instead nothing;
create cast (pair as text) with inout;
create operator === (leftarg = int, rightarg = int, function = int4eq);
create collation "한국" from "C";
create text search configuration mine (copy = simple);
create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
create foreign table distant (a int) server far;
create user mapping for owner_of_some server far options (password 'x');
create publication some_of_it for table orders, users;
alter table orders owner to owner_of_some;
grant select on orders to owner_of_some with grant option;
grant select (name) on users to owner_of_some;
alter default privileges for role owner_of_some grant select on tables to public;
comment on column orders.total is '합계';
comment on table users is '-- Name: x; Type: TABLE DATA; Schema: y; Owner: z';
select lo_from_bytea(40001, decode(repeat('00ff5c', 40000), 'hex')), lo_from_bytea(40002, ''), lo_from_bytea(3000000000, 'x');
comment on large object 40001 is 'a large one'; grant select on large object 40001 to owner_of_some;
"#;

/// A server of this major with the seeded database.
pub(crate) fn seeded(major: u16) -> TestServer {
    let server = TestServer::start(major);
    server.psql("postgres", &format!("create database \"{DATABASE}\""));
    server.psql(DATABASE, SEED);
    server
}

/// A client program of a major, connected to a database of the server.
pub(crate) fn client(server: &TestServer, major: u16, name: &str, database: &str) -> (Program, PassFile) {
    let info = server.conninfo(database);
    let passfile = PassFile::create(&info).unwrap();
    (info.equip(Program::new(tools(major).tool(name)), &passfile), passfile)
}

/// What `pg_dump` writes with these arguments.
pub(crate) fn dump(server: &TestServer, major: u16, database: &str, arguments: &[&str]) -> Vec<u8> {
    let (program, _passfile) = client(server, major, "pg_dump", database);
    collect(program.args(arguments).source(&Cancel::new()).unwrap(), 1 << 30).unwrap()
}

/// A custom-format dump.
pub(crate) fn custom(server: &TestServer, major: u16, database: &str) -> Vec<u8> {
    dump(server, major, database, &["-Fc", "-Z0"])
}

/// Bytes in pieces of these lengths, over and over.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
    lengths: Vec<usize>,
    turn: usize,
}

impl Pull for Pieces {
    fn pull(&mut self) -> Result<Option<Chunk>, StreamError> {
        let length = self.lengths[self.turn % self.lengths.len()].min(self.bytes.len() - self.at);
        (self.at, self.turn) = (self.at + length, self.turn + 1);
        Ok((length > 0).then(|| self.bytes[self.at - length..self.at].to_vec().into()))
    }
}

/// A stream of these bytes cut into pieces of these lengths, over and over.
pub(crate) fn cut(bytes: &[u8], lengths: &[usize]) -> Stream {
    Box::new(Pieces { bytes: bytes.to_vec(), at: 0, lengths: lengths.to_vec(), turn: 0 })
}

/// The fingerprint of a stream that is read to its end; the bytes must pass unchanged.
pub(crate) fn read_stream(stream: Stream, form: Form, expected: &[u8]) -> Result<Arc<Fingerprint>, StreamError> {
    let (stream, handle) = fingerprint(stream, form);
    let passed = collect(stream, usize::MAX);
    assert_eq!(handle.get().is_some(), passed.is_ok(), "a fingerprint is there if and only if the stream ended well");
    assert!(passed? == expected, "the bytes that pass are changed");
    Ok(handle.get().unwrap())
}

/// The fingerprint of these bytes.
pub(crate) fn read(bytes: &[u8], form: Form) -> Result<Arc<Fingerprint>, StreamError> {
    read_stream(stream_of(bytes), form, bytes)
}

/// All differences as words, one a line.
pub(crate) fn differences(comparison: &Comparison) -> String {
    comparison.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The differences between two dumps.
pub(crate) fn differ(a: &Fingerprint, b: &Fingerprint) -> String {
    differences(&compare(a, b))
}
