//! The password file of one child program: the only way a password of ours reaches libpq.
//!
//! It is made for one connection, readable by its owner alone, in a folder of its own, and gone when dropped. A connection without
//! a password gets an empty file, so that libpq does not go and find `~/.pgpass`. This module starts no program.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::conninfo::{ConnInfo, Host};
use crate::stream::owned::OwnedFolder;

/// A password file; removed when dropped.
#[derive(Debug)]
pub struct PassFile {
    path: PathBuf,
    // Dropped with the file in it.
    _folder: OwnedFolder,
}

impl PassFile {
    /// Writes the file for a connection into a new folder of the system's temp folder.
    pub fn create(info: &ConnInfo) -> io::Result<Self> {
        Self::create_in(info, &std::env::temp_dir())
    }

    /// Writes the file for a connection into a new folder of `parent`.
    pub fn create_in(info: &ConnInfo, parent: &Path) -> io::Result<Self> {
        let folder = OwnedFolder::create("pass", parent)?;
        let inner = folder.path().join("p");
        std::fs::DirBuilder::new().mode(0o700).create(&inner)?;
        let path = inner.join("pgpass");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content(info).as_bytes())?;
        Ok(Self { path, _folder: folder })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The variable that tells libpq of it.
    pub fn env(&self) -> (String, String) {
        ("PGPASSFILE".to_owned(), self.path.display().to_string())
    }
}

/// Lines of `host:port:database:user:password` ("The Password File", libpq, section 34.16). Any database, because `pg_dumpall` and
/// `pg_restore --create` connect to more than the one they were given.
fn content(info: &ConnInfo) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    let Some(password) = &info.password else { return text };
    for host in &info.hosts {
        for name in names(host) {
            for field in [name.as_str(), &host.port.to_string()] {
                escape(field, &mut text);
                text.push(':');
            }
            text.push_str("*:");
            escape(&info.user, &mut text);
            text.push(':');
            escape(password.value.expose(), &mut text);
            text.push('\n');
        }
    }
    text
}

/// libpq looks a socket in its compiled-in folder up as `localhost`, one elsewhere by its folder; which of the two is not known here.
fn names(host: &Host) -> Vec<String> {
    let own = host.host.clone();
    if host.socket_folder().is_some() { vec![own, "localhost".to_owned()] } else { vec![own] }
}

fn escape(field: &str, text: &mut String) {
    for c in field.chars() {
        if matches!(c, ':' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::postgres::conninfo::Password;
    use crate::secret::Secret;

    fn info(host: &str, password: Option<&str>) -> ConnInfo {
        let mut info = ConnInfo::local(Path::new(host), 5433, "백업:er", "주문");
        info.password = password.map(|p| Password { value: Secret::new(p.to_owned()), origin: "test".to_owned() });
        info
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let file = PassFile::create(&info("2001:db8::1", Some(r"비\밀:1"))).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "2001\\:db8\\:\\:1:5433:*:백업\\:er:비\\\\밀\\:1\n");
    }

    #[test]
    fn a_socket_is_found_under_both_of_its_names() {
        let text = content(&info("/run/x", Some("pw")));
        assert_eq!(*text, "/run/x:5433:*:백업\\:er:pw\nlocalhost:5433:*:백업\\:er:pw\n");
    }

    #[test]
    fn only_the_owner_can_open_it_and_it_goes_with_its_folder() {
        let parent = tempfile::tempdir().unwrap();
        let file = PassFile::create_in(&info("h", Some("pw")), parent.path()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
        drop(file);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_password_the_file_is_there_and_empty() {
        let file = PassFile::create(&info("h", None)).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "");
        assert_eq!(file.env().0, "PGPASSFILE");
    }
}
