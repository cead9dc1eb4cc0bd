//! Accounts of the operating system, as `/etc/passwd` lists them.
//!
//! libpq's default role is the name of the account, and a server started by root runs as another account. This module
//! does not ask directories (LDAP, NIS) and changes no process's identity.

use std::path::{Path, PathBuf};

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// Its main group's id.
    pub gid: u32,
    /// Its home folder.
    pub home: PathBuf,
}

impl Account {
    /// The account of this name, if `/etc/passwd` has it.
    pub fn named(name: &str) -> Option<Self> {
        all().into_iter().find(|account| account.name == name)
    }

    /// The account of this process's effective user id, if `/etc/passwd` has it.
    pub fn current() -> Option<Self> {
        let uid = rustix::process::geteuid().as_raw();
        all().into_iter().find(|account| account.uid == uid)
    }

    /// Whether this account may pass through every folder above a path, judged by the permission bits alone.
    /// Answers the first folder that is closed to it.
    pub fn barred_at(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).find(|folder| !self.may_enter(folder)).map(Path::to_owned)
    }

    fn may_enter(&self, folder: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(found) = std::fs::metadata(folder) else { return false };
        let bit = match found {
            ref f if f.uid() == self.uid => 0o100,
            ref f if f.gid() == self.gid => 0o010,
            _ => 0o001,
        };
        found.mode() & bit != 0
    }
}

fn all() -> Vec<Account> {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default().lines().filter_map(parse).collect()
}

/// Reads a line of passwd(5): `name:password:uid:gid:gecos:home:shell`.
fn parse(line: &str) -> Option<Account> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
    Some(Account { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_passwd_is_an_account() {
        let account = parse("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash").unwrap();
        assert_eq!((account.name.as_str(), account.uid, account.gid), ("postgres", 101, 104));
        assert_eq!(parse("+nis"), None);
    }

    #[test]
    fn a_closed_folder_above_a_path_is_named() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
        let stranger = Account { name: "x".into(), uid: 4_000_000, gid: 4_000_000, home: "/".into() };
        assert_eq!(stranger.barred_at(&closed.join("bin/postgres")), Some(closed.join("bin")));
        std::fs::create_dir(closed.join("bin")).unwrap();
        std::fs::set_permissions(closed.join("bin"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(stranger.barred_at(&closed.join("bin/postgres")), Some(closed.clone()));
        assert_eq!(stranger.barred_at(&closed), None);
    }
}
