//! The database that a restore makes: built beside its final name, and given that name only when it is whole.
//!
//! `<database>_restoring` is filled; then, in one transaction, what has the final name is renamed away and the new one takes it. So a
//! restore that fails, or is killed, leaves the database that was there as it was. A lock keeps a second restore out. This
//! module fills nothing and decides nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::client::{Client, Row};
use super::conninfo::ConnInfo;
use super::create::create_database;
use super::error::PgError;
use super::facts::DatabaseLocale;
use super::quote::{identifier, literal};
use super::tables::TableNow;
use crate::archive::ContentDigest;

/// The longest name of a database in bytes (`NAMEDATALEN - 1`); the server would cut a longer one silently.
const NAME_LIMIT: usize = 63;

/// How the comment of a database begins that a restore has not finished.
const MARK: &str = "Made by runner for a restore";

/// How long making, renaming and dropping a database may take: a server before 15 checkpoints for each, and large ones have many files.
const LIMIT: Duration = Duration::from_hours(6);

/// How often the swap is tried while sessions keep coming.
const SWAPS: u32 = 5;

/// Databases to connect to that are always there, for what can not be done from within the database concerned.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// What is known of a place to restore into before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// Where it is, without secrets: `backup@db1:5432/orders`.
    pub place: String,
    /// The database that will have been restored.
    pub database: String,
    /// The server's `server_version_num`.
    pub server_version: u32,
    /// The cluster's system identifier, when the role may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    /// What has the name now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
    /// What an earlier restore left under the name that this one builds under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Left>,
    /// The names of the server's roles, which owners and privileges of a dump need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Whether the role may create databases.
    pub may_create: bool,
    /// Whether the role is a superuser.
    pub superuser: bool,
    /// The roles that it may give things to, itself included; empty for a superuser, who may give to any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_be: Vec<String>,
    /// The tables that a restore changes, as they are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableNow>,
    /// Conditions on their rows that the server does not take, in its words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A database that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Existing {
    /// Which one it is: a database made anew under the same name has another number. Unknown of a server that does not run yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oid: Option<u32>,
    /// The number of its oldest table, where what is in it is to be replaced: restored in place, it has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_table: Option<u32>,
    /// Its size on disk in bytes; 0 where the role may not ask.
    pub bytes: u64,
    /// Sessions in it, at that moment.
    pub sessions: u64,
}

/// A database that an unfinished restore left, or that only has its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Its name.
    pub name: String,
    /// Whether a restore made it: only then may another remove it.
    pub ours: bool,
}

/// A name derived from a database's, cut so that the server need not cut it. A digest stands for what is cut off: two long names may
/// begin alike.
pub fn derived(database: &str, suffix: &str) -> String {
    if database.len() + suffix.len() <= NAME_LIMIT {
        return format!("{database}{suffix}");
    }
    let digest: String = ContentDigest::of(database.as_bytes()).to_string().chars().take(8).collect();
    let room = NAME_LIMIT.saturating_sub(suffix.len() + digest.len() + 1);
    let end = (0..=room).rev().find(|at| database.is_char_boundary(*at)).unwrap_or(0);
    format!("{}_{digest}{suffix}", &database[..end])
}

/// The name under which a database is built before it gets its own.
pub fn restoring(database: &str) -> String {
    derived(database, "_restoring")
}

/// A connection to the server that does not enter the database concerned, which may not be there.
pub(super) fn maintenance(server: &ConnInfo, handle: &Handle) -> Result<Client, PgError> {
    let [first, second] = MAINTENANCE;
    match Client::connect(&server.with_database(first), handle) {
        Err(PgError::Query { state, .. }) if state == "3D000" => Client::connect(&server.with_database(second), handle),
        Err(PgError::Unreachable { detail, .. } | PgError::Denied { detail, .. }) if detail.contains("does not exist") => {
            Client::connect(&server.with_database(second), handle)
        }
        other => other,
    }
}

/// Looks at the server and at what has the name now; changes nothing.
///
/// # Errors
/// Whatever the server says.
pub fn look(server: &ConnInfo, database: &str, handle: &Handle) -> Result<TargetFacts, PgError> {
    let client = maintenance(server, handle)?;
    let one = |sql: &str| client.query_one_text(sql);
    let version = one("show server_version_num")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    let may = "select pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'execute')";
    let system_identifier =
        if one(may)?.as_deref() == Some("t") { one("select system_identifier from pg_catalog.pg_control_system()")? } else { None };
    let role = |column: &str| one(&format!("select {column} from pg_catalog.pg_roles where rolname = current_user"));
    let superuser = role("rolsuper")?.as_deref() == Some("t");
    let facts = TargetFacts {
        place: server.with_database(database).describe(),
        database: database.to_owned(),
        server_version: version,
        system_identifier,
        existing: existing(&client, database)?,
        left: left(&client, database)?,
        roles: roles(&client)?,
        may_create: superuser || role("rolcreatedb")?.as_deref() == Some("t"),
        superuser,
        may_be: if superuser { Vec::new() } else { may_be(&client)? },
        tables: Vec::new(),
        refused: Vec::new(),
    };
    client.close();
    Ok(facts)
}

fn roles(client: &Client) -> Result<Vec<String>, PgError> {
    let found = client.query("select rolname from pg_catalog.pg_roles where rolname !~ '^pg_' order by 1")?;
    Ok(found.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

fn may_be(client: &Client) -> Result<Vec<String>, PgError> {
    let found = client.query("select rolname from pg_catalog.pg_roles where pg_catalog.pg_has_role(oid, 'member') order by 1")?;
    Ok(found.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

fn existing(client: &Client, database: &str) -> Result<Option<Existing>, PgError> {
    let sql = format!(
        "select case when pg_catalog.has_database_privilege(oid, 'connect') then pg_catalog.pg_database_size(oid) else 0 end, \
         (select count(*) from pg_catalog.pg_stat_activity a where a.datid = d.oid), oid::int8 from pg_catalog.pg_database d where datname = {}",
        literal(database)
    );
    let number = |row: &Row, at: usize| row.get(at).cloned().flatten().and_then(|text| text.parse::<u64>().ok());
    let facts = |row: &Row| Existing {
        oid: number(row, 2).and_then(|oid| oid.try_into().ok()),
        oldest_table: None,
        bytes: number(row, 0).unwrap_or(0),
        sessions: number(row, 1).unwrap_or(0),
    };
    Ok(client.query(&sql)?.first().map(facts))
}

/// The number of the oldest table of a user in a database.
///
/// # Errors
/// Whatever the server says.
pub fn oldest_table(info: &ConnInfo, handle: &Handle) -> Result<Option<u32>, PgError> {
    let client = Client::connect(info, handle)?;
    let sql =
        "select pg_catalog.min(oid::int8) from pg_catalog.pg_class where oid >= 16384 and relkind in ('r', 'p') and relpersistence <> 't'";
    let found = client.query_one_text(sql);
    client.close();
    Ok(found?.and_then(|text| text.parse().ok()))
}

/// How the comment begins of what is made for one database: another's is left alone.
fn mark(database: &str) -> String {
    format!("{MARK} of {database};")
}

fn left(client: &Client, database: &str) -> Result<Option<Left>, PgError> {
    let name = restoring(database);
    let sql = format!(
        "select coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '') from pg_catalog.pg_database where datname = {}",
        literal(&name)
    );
    let mark = mark(database);
    Ok(client.query_one_text(&sql)?.map(|comment| Left { name, ours: comment.starts_with(&mark) }))
}

/// A place to restore into, held against other restores as long as this lives.
pub struct Target {
    client: Client,
    server: ConnInfo,
    database: String,
    handle: Handle,
    created: AtomicBool,
    swapped: AtomicBool,
    /// The number of the database that had the name when the place was taken.
    found: Option<u32>,
}

impl Target {
    /// Takes the place for one restore.
    ///
    /// # Errors
    /// [`PgError::Busy`] when another restore into this database is at work, and whatever the server says.
    pub fn take(server: &ConnInfo, database: &str, handle: &Handle) -> Result<Self, PgError> {
        let mut client = maintenance(server, handle)?;
        client.limit_statements(LIMIT)?;
        // `hashtextextended` is how PostgreSQL itself makes a number of a text; the first key tells our locks from others'.
        let key = format!("pg_catalog.hashtextextended({}, 0)", literal(&format!("runner restore {database}")));
        if client.query_one_text(&format!("select pg_catalog.pg_try_advisory_lock({key})"))?.as_deref() != Some("t") {
            let holder = holder(&client)?.map(|holder| format!(" ({holder})")).unwrap_or_default();
            let detail = format!("another restore into database {database:?} is at work{holder}");
            return Err(PgError::Busy { server: server.describe(), detail });
        }
        let (server, database) = (client.info().clone(), database.to_owned());
        let found = existing(&client, &database)?.and_then(|existing| existing.oid);
        Ok(Self {
            client,
            server,
            database,
            handle: handle.clone(),
            created: AtomicBool::new(false),
            swapped: AtomicBool::new(false),
            found,
        })
    }

    /// Whether it is still held: with its connection ends the lock.
    pub fn is_held(&self) -> bool {
        self.client.query_one_text("select 1").is_ok()
    }

    /// The number of the database that had the name when the place was taken, if one had.
    pub const fn found(&self) -> Option<u32> {
        self.found
    }

    /// Whether the name is that of the same database as when the place was taken, or still free.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn is_same(&self) -> Result<bool, PgError> {
        Ok(existing(&self.client, &self.database)?.and_then(|existing| existing.oid) == self.found)
    }

    /// The number of the oldest table in the database that has the name.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn oldest_table(&self) -> Result<Option<u32>, PgError> {
        oldest_table(&self.conninfo(), &self.handle)
    }

    /// The database's final name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Whether a database has the final name now.
    pub fn is_there(&self) -> Result<bool, PgError> {
        Ok(existing(&self.client, &self.database)?.is_some())
    }

    /// Whether the database that is being filled has nothing in it yet.
    ///
    /// # Errors
    /// Whatever the server says.
    pub fn is_empty(&self) -> Result<bool, PgError> {
        let client = Client::connect(&self.restoring(), &self.handle)?;
        // What is newer than the template's own objects (`FirstNormalObjectId` of transam.h).
        let found = client.query_one_text(
            "select exists (select 1 from pg_catalog.pg_class where oid >= 16384 union all select 1 from pg_catalog.pg_proc where oid >= 16384 \
             union all select 1 from pg_catalog.pg_namespace where oid >= 16384 union all select 1 from pg_catalog.pg_type where oid >= 16384 \
             union all select 1 from pg_catalog.pg_extension where oid >= 16384)",
        );
        client.close();
        Ok(found?.as_deref() != Some("t"))
    }

    /// How to connect to the database that is being filled.
    pub fn restoring(&self) -> ConnInfo {
        self.server.with_database(&restoring(&self.database))
    }

    /// How to connect to the database by its final name.
    pub fn conninfo(&self) -> ConnInfo {
        self.server.with_database(&self.database)
    }

    /// Makes the database to be filled, removing what an unfinished restore left under that name; answers remarks.
    ///
    /// # Errors
    /// When a database of that name is there that no restore made, and whatever the server says.
    pub fn create(&self, like: Option<&DatabaseLocale>) -> Result<Vec<String>, PgError> {
        let name = restoring(&self.database);
        let mut remarks = Vec::new();
        match left(&self.client, &self.database)? {
            Some(Left { ours: true, .. }) => {
                self.drop_database(&name)?;
                remarks.push(format!("removed {name}, which an unfinished restore had left"));
            }
            Some(Left { ours: false, .. }) => {
                let detail = format!("database {name:?} is in the way, and no restore made it: rename or drop it");
                return Err(PgError::Unexpected { server: self.server.describe(), detail });
            }
            None => {}
        }
        remarks.extend(self.create_where_it_was(&name, like)?);
        self.created.store(true, Ordering::SeqCst);
        let comment = format!("{} while no restore is at work, it can be dropped.", mark(&self.database));
        self.client.batch(&format!("comment on database {} is {}", identifier(&name), literal(&comment)))?;
        Ok(remarks)
    }

    /// Makes it in the tablespace of what it replaces, where the role may.
    fn create_where_it_was(&self, name: &str, like: Option<&DatabaseLocale>) -> Result<Vec<String>, PgError> {
        let sql = format!(
            "select t.spcname from pg_catalog.pg_database d join pg_catalog.pg_tablespace t on t.oid = d.dattablespace \
             where d.datname = {} and t.spcname <> 'pg_default'",
            literal(&self.database)
        );
        let Some(tablespace) = self.client.query_one_text(&sql)? else {
            return Ok(create_database(&self.client, name, like, None)?.into_iter().collect());
        };
        match create_database(&self.client, name, like, Some(&tablespace)) {
            Ok(remark) => Ok(remark.into_iter().collect()),
            Err(PgError::Query { state, .. }) if state == "42501" => {
                let remark = create_database(&self.client, name, like, None)?;
                let left =
                    format!("the role may not use tablespace {tablespace}, in which {} is: it will be in the default one", self.database);
                Ok(remark.into_iter().chain([left]).collect())
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the filled database its final name. What had that name is renamed to `keep_as` in the same transaction; its
    /// sessions are ended, and new ones wait. Answers how many were, if there was one; `None` where the name was free.
    ///
    /// # Errors
    /// Whatever the server says; then both databases are as they were.
    pub fn swap(&self, keep_as: &str) -> Result<Option<usize>, PgError> {
        let replaces = self.is_there()?;
        let new = restoring(&self.database);
        let mut statements = vec![format!("comment on database {} is null", identifier(&new))];
        if replaces {
            statements.extend(self.inherited(&new)?);
            statements.push(format!("alter database {} rename to {}", identifier(&self.database), identifier(keep_as)));
        }
        statements.push(format!("alter database {} rename to {}", identifier(&new), identifier(&self.database)));
        let transaction = format!("begin; {}; commit", statements.join("; "));
        let made = existing(&self.client, &new)?.and_then(|existing| existing.oid);
        let ended = self.without_sessions(&transaction).or_else(|error| if self.has_landed(made) { Ok(0) } else { Err(error) })?;
        self.created.store(false, Ordering::SeqCst);
        self.swapped.store(true, Ordering::SeqCst);
        Ok(replaces.then_some(ended))
    }

    /// Whether the filled database has got its final name already.
    pub fn is_swapped(&self) -> bool {
        self.swapped.load(Ordering::SeqCst)
    }

    /// Whether the new database has the final name in spite of an error: the answer to a commit may be lost on its way.
    fn has_landed(&self, made: Option<u32>) -> bool {
        let look = || {
            let client = maintenance(&self.server, &self.handle)?;
            let found = existing(&client, &self.database);
            client.close();
            found
        };
        made.is_some() && look().is_ok_and(|found| found.and_then(|existing| existing.oid) == made)
    }

    /// Runs the swap while another session ends whoever is in either database: the rename holds off new sessions, and waits for old ones to
    /// go. Answers how many sessions were ended.
    fn without_sessions(&self, transaction: &str) -> Result<usize, PgError> {
        let watcher = maintenance(&self.server, &self.handle)?;
        let names = [self.database.as_str(), &restoring(&self.database)].map(literal).join(", ");
        // The ending stands in the answer and not in the condition: there it could be asked for before the database is looked at.
        let end = format!(
            "select pid, pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity \
             where datname in ({names}) and pid <> pg_catalog.pg_backend_pid()"
        );
        let done = AtomicBool::new(false);
        let swapped = std::thread::scope(|scope| {
            let ending = scope.spawn(|| {
                let mut ended = BTreeSet::new();
                while !done.load(Ordering::SeqCst) {
                    // A session that may not be ended makes the rename fail, and that says why.
                    let asked = watcher.query(&end).unwrap_or_default();
                    ended.extend(asked.into_iter().filter_map(|row| row.into_iter().next().flatten()));
                    std::thread::sleep(Duration::from_millis(50));
                }
                ended.len()
            });
            let swapped = self.tries(transaction);
            done.store(true, Ordering::SeqCst);
            let ended = ending.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            swapped.map(|()| ended)
        });
        watcher.close();
        swapped
    }

    fn tries(&self, transaction: &str) -> Result<(), PgError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.client.batch(transaction) {
                // object_in_use: a session came in between and did not leave in time.
                Err(PgError::Query { state, .. }) if state == "55006" && tried < SWAPS => self.client.batch("rollback")?,
                Err(error) => {
                    let _already = self.client.batch("rollback");
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// What a dump of a database's content does not hold of the database itself: owner, rights, limits, settings, comment and labels.
    fn inherited(&self, new: &str) -> Result<Vec<String>, PgError> {
        let (old, new) = (literal(&self.database), literal(new));
        // Lists that are stored as they were quoted (GUC_LIST_QUOTE, as pg_dumpall treats them) must not be quoted again.
        let lists = "'search_path', 'local_preload_libraries', 'session_preload_libraries', 'shared_preload_libraries', 'temp_tablespaces', \
                     'unix_socket_directories'";
        let sql = format!(
            "select pg_catalog.format('alter database %I owner to %I', {new}, pg_catalog.pg_get_userbyid(datdba)) from pg_catalog.pg_database \
               where datname = {old} \
             union all select pg_catalog.format('alter database %I connection limit %s', {new}, datconnlimit) from pg_catalog.pg_database \
               where datname = {old} and datconnlimit <> -1 \
             union all select pg_catalog.format('revoke all on database %I from public', {new}) from pg_catalog.pg_database \
               where datname = {old} and datacl is not null \
             union all select pg_catalog.format('grant %s on database %I to %s%s', a.privilege_type, {new}, \
               case when a.grantee = 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end, \
               case when a.is_grantable then ' with grant option' else '' end) \
               from pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a where datname = {old} and a.grantee <> d.datdba \
             union all select pg_catalog.format('alter %s set %I to %s', \
               case when s.setrole = 0 then pg_catalog.format('database %I', {new}) \
                 else pg_catalog.format('role %I in database %I', pg_catalog.pg_get_userbyid(s.setrole), {new}) end, n.name, \
               case when n.name in ({lists}) then n.value else pg_catalog.quote_literal(n.value) end) \
               from pg_catalog.pg_db_role_setting s join pg_catalog.pg_database d on d.oid = s.setdatabase, pg_catalog.unnest(s.setconfig) c, \
               lateral (select pg_catalog.split_part(c, '=', 1) as name, pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) as value) n \
               where d.datname = {old} \
             union all select pg_catalog.format('comment on database %I is %L', {new}, pg_catalog.shobj_description(oid, 'pg_database')) \
               from pg_catalog.pg_database where datname = {old} and pg_catalog.shobj_description(oid, 'pg_database') is not null \
             union all select pg_catalog.format('security label for %I on database %I is %L', l.provider, {new}, l.label) \
               from pg_catalog.pg_shseclabel l join pg_catalog.pg_database d on d.oid = l.objoid \
               where l.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass and d.datname = {old}"
        );
        Ok(self.client.query(&sql)?.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// Drops the database that was being filled, if it was made and has not got its final name. Answers its name.
    ///
    /// # Errors
    /// Whatever the server says; then it is still there.
    pub fn discard(&self) -> Result<Option<String>, PgError> {
        if !self.created.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let name = restoring(&self.database);
        self.drop_database(&name)?;
        self.created.store(false, Ordering::SeqCst);
        Ok(Some(name))
    }

    /// Drops a database that a swap kept.
    ///
    /// # Errors
    /// Whatever the server says; then it is still there.
    pub fn drop_database(&self, name: &str) -> Result<(), PgError> {
        // WITH (FORCE) ends sessions that a killed restore may have left (PostgreSQL 13 and later).
        self.client.batch(&format!("drop database if exists {} with (force)", identifier(name)))
    }
}

/// Who holds a lock of ours in this server: the session's process and where it came from.
fn holder(client: &Client) -> Result<Option<String>, PgError> {
    client.query_one_text(
        "select pg_catalog.format('process %s of %s, since %s', a.pid, coalesce(a.client_addr::text, 'this host'), \
         pg_catalog.date_trunc('second', a.backend_start)) from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid \
         where l.locktype = 'advisory' and l.granted and a.application_name = 'runner' and a.pid <> pg_catalog.pg_backend_pid() \
         order by a.backend_start limit 1",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_fit_and_are_not_cut_inside_a_character() {
        assert_eq!(restoring("orders"), "orders_restoring");
        let long = "주문".repeat(10);
        let name = derived(&long, "_before_20261120t021700z");
        let other = derived(&format!("{long}을"), "_before_20261120t021700z");
        assert!(name != other && other.len() <= 63, "{name} {other}");
        assert!(name.len() <= 63 && name.starts_with("주문") && name.ends_with("_before_20261120t021700z"), "{name}");
    }
}
