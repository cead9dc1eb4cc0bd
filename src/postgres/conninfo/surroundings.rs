//! What a connection takes from the machine it starts on: a few environment variables, the account, service files.
//!
//! `PGHOST`, `PGPORT`, `PGUSER`, `PGDATABASE` and `PGSSL*` fill in what a pipeline leaves open, as in libpq. `PGPASSWORD`, `PGPASSFILE`,
//! `~/.pgpass` and `PGSERVICE` are never looked at: a pipeline that works must not depend on, and one under review must not be turned
//! elsewhere by, what happens to be exported in the caller's shell. This module decides no precedence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ConnInfoError;
use super::dsn::{Params, put};
use crate::postgres::account::Account;

/// The environment variables that fill gaps, with the libpq keyword of each.
const VARIABLES: [(&str, &str); 8] = [
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
];

/// Where the default socket folder is compiled in: Debian's and Red Hat's builds, and PostgreSQL's own default.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The machine and account as seen by a connection.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The account's home folder.
    pub home: Option<PathBuf>,
    /// The account's name.
    pub account: Option<String>,
    /// Folders where a server's unix socket may be, in order.
    pub socket_folders: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let account = Account::current();
        let variables: BTreeMap<_, _> =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        let home = variables.get("HOME").map(PathBuf::from).or_else(|| account.as_ref().map(|a| a.home.clone()));
        let name = account.map(|a| a.name).or_else(|| variables.get("USER").cloned());
        Self { variables, home, account: name, socket_folders: SOCKET_FOLDERS.map(PathBuf::from).into() }
    }

    /// The parameters that environment variables give.
    pub(super) fn params(&self) -> Params {
        let given = |variable: &str| self.variables.get(variable).filter(|v| !v.is_empty()).cloned();
        VARIABLES.iter().filter_map(|(variable, keyword)| Some((*keyword, given(variable)?))).collect()
    }

    /// The folder of the local server's unix socket: the first that has a socket of that port, else the first that exists.
    pub(super) fn socket_folder(&self, port: u16) -> PathBuf {
        let has_socket = |folder: &&PathBuf| folder.join(format!(".s.PGSQL.{port}")).exists();
        let folders = &self.socket_folders;
        let chosen = folders.iter().find(has_socket).or_else(|| folders.iter().find(|f| f.is_dir()));
        chosen.cloned().unwrap_or_else(|| PathBuf::from("/tmp"))
    }

    /// A file of `~/.postgresql`, libpq's default place for certificates and keys, if it is there.
    pub(super) fn default_file(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".postgresql").join(name)).filter(|path| path.is_file())
    }

    /// The parameters of a section of the connection service files ("The Connection Service File", libpq, section 34.17).
    pub(super) fn service(&self, service: &str) -> Result<Params, ConnInfoError> {
        let files = self.service_files();
        for file in &files {
            let Ok(text) = std::fs::read_to_string(file) else { continue };
            if let Some(params) = section(&text, service, file)? {
                return Ok(params);
            }
        }
        let looked = files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", ");
        Err(ConnInfoError::NoService { service: service.to_owned(), looked })
    }

    fn service_files(&self) -> Vec<PathBuf> {
        let named = self.variables.get("PGSERVICEFILE").map(PathBuf::from);
        let own = named.or_else(|| self.home.as_ref().map(|home| home.join(".pg_service.conf")));
        let system = self.variables.get("PGSYSCONFDIR").map_or("/etc/postgresql-common", String::as_str);
        own.into_iter().chain([Path::new(system).join("pg_service.conf")]).collect()
    }
}

/// Reads one section of an INI file: `[name]`, `keyword=value`, `#` comments.
fn section(text: &str, name: &str, file: &Path) -> Result<Option<Params>, ConnInfoError> {
    let mut found: Option<Params> = None;
    for (index, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let broken = |problem: &str| ConnInfoError::Syntax(format!("{}:{}: {problem}", file.display(), index + 1));
        if let Some(heading) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (heading.split(']').next() == Some(name)).then(Params::new);
        } else if let Some(params) = &mut found {
            let (keyword, value) = line.split_once('=').ok_or_else(|| broken("expected keyword=value"))?;
            if keyword == "service" {
                return Err(broken("a service can not name another service"));
            }
            if keyword.starts_with("ldap") {
                return Err(broken("services looked up by LDAP are not supported"));
            }
            params.entry(known(keyword, &broken)?).or_insert_with(|| value.to_owned());
        }
    }
    Ok(found)
}

fn known(keyword: &str, broken: &impl Fn(&str) -> ConnInfoError) -> Result<&'static str, ConnInfoError> {
    let mut probe = Params::new();
    put(&mut probe, keyword, String::new()).map_err(|error| broken(&error.to_string()))?;
    probe.into_keys().next().ok_or_else(|| broken("no keyword"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n[other]\nhost=x\n\n[주문]\n  host = no\n";

    #[test]
    fn a_section_is_read_and_its_problems_have_a_line() {
        let file = Path::new("/etc/s.conf");
        let text = "# c\n[other]\nhost=x\n[주문]\nhost=db1\n port=5433 \nhost=late\n[more]\nhost=y\n";
        let params = section(text, "주문", file).unwrap().unwrap();
        assert_eq!((params["host"].as_str(), params["port"].as_str()), ("db1", "5433"));
        assert!(section(text, "none", file).unwrap().is_none());
        let message = section(FILE, "주문", file).unwrap_err().to_string();
        assert!(message.contains("/etc/s.conf:6") && message.contains("host "), "{message}");
    }
}
