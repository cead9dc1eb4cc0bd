//! PostgreSQL's own programs on this machine, by major version.
//!
//! A dump needs a `pg_dump` that is not older than the server; a scratch server needs exactly the server's major. Several
//! majors and several builds of one can be installed side by side; what is there is asked once. This module installs
//! nothing and connects nowhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::stream::Cancel;
use crate::stream::child::Program;

/// The variable that names folders of programs, separated by colons; for the majors they hold they win over all others.
pub const FOLDERS_VARIABLE: &str = "RUNNER_PG_BINDIR";

/// Folders that packages use, with one `*` for the version: Debian and Ubuntu, Red Hat (PGDG), Homebrew on ARM and on Intel.
const PACKAGE_FOLDERS: [&str; 4] =
    ["/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"];

/// The programs that make a folder a set that can run a server.
const SERVER_PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// What to do about programs that are installed where nobody looks.
const ELSEWHERE: &str = "name its bin folder in RUNNER_PG_BINDIR";

/// Why no programs fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PgToolError {
    /// Every `pg_dump` found is older than the server, or there is none.
    #[error("the server is PostgreSQL {server}, and {}: install {package}, or {ELSEWHERE}", newest_in_words(newest.as_deref()))]
    TooOld {
        /// The server's major version.
        server: u16,
        /// The newest version found.
        newest: Option<String>,
        /// The package to install.
        package: String,
    },
    /// No server programs of the major.
    #[error("no PostgreSQL {major} server programs are installed (majors found: {found}): install {package}, or {ELSEWHERE}")]
    NoServer {
        /// The major version wanted.
        major: u16,
        /// The majors whose server programs are there.
        found: String,
        /// The package to install.
        package: String,
    },
}

fn newest_in_words(newest: Option<&str>) -> String {
    newest.map_or_else(|| "no pg_dump is installed".to_owned(), |v| format!("the newest pg_dump installed is {v}, which can not dump it"))
}

/// One folder of programs of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSet {
    /// The folder.
    pub bin: PathBuf,
    /// The major version.
    pub major: u16,
    /// The minor version; 0 for a beta.
    pub minor: u16,
    /// The version as `pg_dump --version` tells it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
}

impl ToolSet {
    /// The path of a program of this set, whether it is there or not.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Whether the set has a program.
    pub fn has(&self, name: &str) -> bool {
        self.tool(name).is_file()
    }

    /// Whether the set can make and run a server.
    pub fn has_server(&self) -> bool {
        SERVER_PROGRAMS.iter().all(|name| self.has(name))
    }
}

/// What is installed: sets by major, the preferred one of a major first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    sets: BTreeMap<u16, Vec<ToolSet>>,
}

impl Installed {
    /// What this machine has; found out at the first call of the process.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Installed> = OnceLock::new();
        HERE.get_or_init(|| {
            let named = std::env::var_os(FOLDERS_VARIABLE).map(|v| std::env::split_paths(&v).collect()).unwrap_or_default();
            let mut usual: Vec<PathBuf> = PACKAGE_FOLDERS.iter().flat_map(|pattern| matching(pattern)).collect();
            usual.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
            Self::in_folders(&[named, usual])
        })
    }

    /// What the folders have. An earlier group wins over a later one, within a group the newest minor wins.
    pub fn in_folders(groups: &[Vec<PathBuf>]) -> Self {
        let mut sets: BTreeMap<u16, Vec<ToolSet>> = BTreeMap::new();
        for group in groups {
            let mut found: Vec<ToolSet> = group.iter().filter_map(|folder| ask(folder)).collect();
            found.sort_by_key(|set| std::cmp::Reverse(set.minor)); // stable: the order of folders decides between equals
            for set in found {
                let of_major = sets.entry(set.major).or_default();
                if of_major.iter().all(|known| known.bin != set.bin) {
                    of_major.push(set);
                }
            }
        }
        Self { sets }
    }

    /// The preferred set of every major.
    pub fn sets(&self) -> impl Iterator<Item = &ToolSet> {
        self.sets.values().filter_map(|of_major| of_major.first())
    }

    /// Client programs for a server: of its own major, or else of the next newer one.
    pub fn for_server(&self, major: u16) -> Result<&ToolSet, PgToolError> {
        let fitting = self.sets.range(major..).find_map(|(_, of_major)| of_major.first());
        fitting.ok_or_else(|| PgToolError::TooOld {
            server: major,
            newest: self.sets.values().next_back().and_then(|of_major| of_major.first()).map(|set| set.version.clone()),
            package: format!("postgresql-client-{major}"),
        })
    }

    /// Programs that make and run a server of exactly this major.
    pub fn server(&self, major: u16) -> Result<&ToolSet, PgToolError> {
        let fitting = self.sets.get(&major).and_then(|of_major| of_major.iter().find(|set| set.has_server()));
        fitting.ok_or_else(|| PgToolError::NoServer { major, found: self.servers(), package: format!("postgresql-{major}") })
    }

    /// Programs that make and run a server of the newest major there is.
    pub fn newest_server(&self) -> Result<&ToolSet, PgToolError> {
        let newest = self.sets.values().rev().find_map(|of_major| of_major.iter().find(|set| set.has_server()));
        newest.ok_or_else(|| PgToolError::NoServer { major: 18, found: self.servers(), package: "postgresql-18".to_owned() })
    }

    fn servers(&self) -> String {
        let with_server = |of_major: &[ToolSet]| of_major.iter().any(ToolSet::has_server);
        let majors: Vec<String> = self.sets.iter().filter(|(_, sets)| with_server(sets)).map(|(major, _)| major.to_string()).collect();
        if majors.is_empty() { "none".to_owned() } else { majors.join(", ") }
    }
}

/// The folders that a pattern with one `*` in one component names, in order.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return Vec::new() };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.starts_with(prefix));
    let mut folders: Vec<PathBuf> = names.map(|name| Path::new(&format!("{parent}/{name}{after}")).to_owned()).collect();
    folders.sort();
    folders
}

/// Asks the `pg_dump` of a folder for its version. Links are followed, so that the whole set is taken from one place.
fn ask(folder: &Path) -> Option<ToolSet> {
    let program = folder.join("pg_dump").canonicalize().ok()?;
    // Debian's /usr/bin/pg_dump is a script that picks a version by the cluster it guesses: it is none itself.
    if !program.is_file() || program.file_name()? == "pg_wrapper" {
        return None;
    }
    let said = Program::new(&program).arg("--version").env("LC_ALL", "C").run(&Cancel::new()).ok()?.stdout;
    let (major, minor, version) = parse_version(&said)?;
    Some(ToolSet { bin: program.parent()?.to_owned(), major, minor, version })
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `… 19beta1` and what vendors make of them.
fn parse_version(said: &str) -> Option<(u16, u16, String)> {
    let (_, version) = said.lines().next()?.split_once(") ")?;
    let number = version.split_whitespace().next()?;
    let mut parts = number.split('.');
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    let major = digits(parts.next()?).parse().ok()?;
    let minor = parts.next().and_then(|part| digits(part).parse().ok()).unwrap_or(0);
    Some((major, minor, version.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder of scripts that answer `--version`.
    fn pretend(root: &Path, name: &str, version: &str, server: bool) -> PathBuf {
        let bin = root.join(name);
        std::fs::create_dir_all(&bin).unwrap();
        let programs = if server { &["pg_dump", "initdb", "postgres"][..] } else { &["pg_dump"] };
        for program in programs {
            let path = bin.join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        bin
    }

    #[test]
    fn versions_are_read_in_every_form() {
        let table = [
            ("pg_dump (PostgreSQL) 16.15\n", (16, 15)),
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", (15, 18)),
            ("pg_dump (PostgreSQL) 19beta1\n", (19, 0)),
            ("pg_dump (EnterpriseDB) 16.2.0\n", (16, 2)),
        ];
        for (said, expected) in table {
            let (major, minor, version) = parse_version(said).unwrap();
            assert_eq!((major, minor), expected);
            assert!(said.contains(&version) && version.starts_with(char::is_numeric), "{version}");
        }
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn the_newest_minor_of_the_same_major_is_chosen_and_else_the_next_newer_major() {
        let root = tempfile::tempdir().unwrap();
        let make = |name: &str, version: &str| pretend(root.path(), name, version, false);
        let folders =
            vec![make("a", "14.2"), make("b", "16.3"), make("c", "16.11 (Debian 16.11-1)"), make("d", "18.1"), root.path().join("none")];
        let installed = Installed::in_folders(&[folders]);
        let chosen = |major| installed.for_server(major).unwrap().bin.file_name().unwrap().to_owned();
        assert_eq!([chosen(14), chosen(15), chosen(16), chosen(17)], ["a", "c", "c", "d"]);
        let error = installed.for_server(19).unwrap_err();
        assert_eq!(error, PgToolError::TooOld { server: 19, newest: Some("18.1".into()), package: "postgresql-client-19".into() });
        assert!(error.to_string().contains("install postgresql-client-19"), "{error}");
    }

    #[test]
    fn named_folders_win_over_newer_ones_found_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let (named, usual) = (pretend(root.path(), "named", "16.1", false), pretend(root.path(), "usual", "16.9", true));
        let installed = Installed::in_folders(&[vec![named.clone()], vec![usual.clone()]]);
        assert_eq!(installed.for_server(16).unwrap().bin, named.canonicalize().unwrap());
        assert_eq!(installed.server(16).unwrap().bin, usual.canonicalize().unwrap(), "only that one can run a server");
    }

    #[test]
    fn a_server_must_be_of_exactly_the_major() {
        let root = tempfile::tempdir().unwrap();
        let folders = vec![
            pretend(root.path(), "a", "15.1", true),
            pretend(root.path(), "b", "17.1", true),
            pretend(root.path(), "c", "18.1", false),
        ];
        let installed = Installed::in_folders(&[folders]);
        assert_eq!(installed.server(15).unwrap().major, 15);
        let message = installed.server(16).unwrap_err().to_string();
        assert!(message.contains("install postgresql-16") && message.contains("found: 15, 17"), "{message}");
        assert_eq!(installed.newest_server().unwrap().major, 17);
        assert!(Installed::default().newest_server().unwrap_err().to_string().contains("found: none"));
    }

    #[test]
    fn debians_wrapper_is_not_a_version_and_links_lead_to_their_set() {
        let root = tempfile::tempdir().unwrap();
        let real = pretend(root.path(), "lib/15/bin", "15.18", true);
        let (wrapped, linked) = (root.path().join("wrapped"), root.path().join("linked"));
        std::fs::create_dir(&wrapped).unwrap();
        std::fs::create_dir(&linked).unwrap();
        std::fs::rename(pretend(root.path(), "share", "17.0", false).join("pg_dump"), root.path().join("share/pg_wrapper")).unwrap();
        symlink(root.path().join("share/pg_wrapper"), wrapped.join("pg_dump")).unwrap();
        symlink(real.join("pg_dump"), linked.join("pg_dump")).unwrap();
        let installed = Installed::in_folders(&[vec![wrapped, linked, real.clone()]]);
        let found: Vec<_> = installed.sets().map(|set| (set.major, set.bin.clone())).collect();
        assert_eq!(found, [(15, real.canonicalize().unwrap())]);
    }

    #[test]
    fn patterns_find_the_folders_of_packages() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "14", "16"] {
            std::fs::create_dir_all(root.path().join(format!("pgsql-{version}/bin"))).unwrap();
        }
        let found = matching(&format!("{}/pgsql-*/bin", root.path().display()));
        assert_eq!(found.len(), 3);
        assert!(found.iter().all(|folder| folder.is_dir()));
    }
}
