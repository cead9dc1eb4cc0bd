//! Files and folders at the ends of a chain: lengths are checked, tar reads them, nothing escapes, nothing half is left.
#![cfg(test)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use runner::stream::StreamError;
use runner::stream::archive_tar::{Unpacked, archive, untar};
use runner::stream::bytes::stream_of;
use runner::stream::file::{read_file, write_file};

use crate::stream_tools::{broken_after, dump, parts, read, tool_with};

#[test]
fn a_file_is_written_whole_private_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("백업.dump");
    let whole = dump(700_000);
    assert_eq!(write_file(&mut parts(&whole, &[1000]), &path).unwrap(), 700_000);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(read(read_file(&path, Some(700_000)).unwrap()).unwrap() == whole);
    let error = write_file(&mut stream_of("other"), &path).unwrap_err();
    assert!(error.to_string().contains("백업.dump") && std::fs::read(&path).unwrap() == whole, "{error}");
}

#[test]
fn a_stream_that_breaks_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let error = write_file(&mut broken_after(&dump(1000)), &path).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
    assert!(!path.exists());
}

#[test]
fn a_full_disk_is_said_in_words() {
    let error = std::io::Error::from_raw_os_error(28);
    let error = runner::stream::file::unwritten(Path::new("/backups/x"), &error);
    assert_eq!(error.to_string(), "writing /backups/x: no space is left on the file system of /backups; free some or choose another place");
    assert!(!error.transient());
}

#[test]
fn a_file_of_another_length_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, dump(400_000)).unwrap();
    for expected in [0, 399_999, 400_001] {
        let error = read(read_file(&path, Some(expected)).unwrap()).unwrap_err();
        assert!(matches!(error, StreamError::Corrupt { .. }) && error.to_string().contains("were expected"), "{error}");
    }
    assert!(read_file(folder.path(), None).is_err(), "a folder is no file");
    let error = read_file(&folder.path().join("없음"), None).err().unwrap();
    assert!(error.to_string().contains("없음"));
}

fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("자료/empty")).unwrap();
    for (name, bytes) in [("toc.dat", 1000), ("자료/4001.dat", 700_000), ("zero", 0), ("block", 512)] {
        std::fs::write(folder.path().join(name), dump(bytes)).unwrap();
    }
    std::fs::write(folder.path().join("자료").join("긴".repeat(80)), b"long name").unwrap();
    folder
}

fn same(one: &Path, other: &Path) {
    tool_with(Command::new("diff").arg("-r").args([one, other]), b"").unwrap();
}

#[test]
fn a_folder_travels_as_a_tar_that_tar_reads() {
    let (folder, by_tar, here) = (sample(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tarred = read(archive(folder.path()).unwrap()).unwrap();
    assert!(tarred == read(archive(folder.path()).unwrap()).unwrap(), "equal folders give equal streams");
    tool_with(Command::new("tar").arg("-xf").arg("-").arg("-C").arg(by_tar.path()), &tarred).unwrap();
    same(folder.path(), by_tar.path());
    let unpacked = untar(parts(&tarred, &[1000, 7]), here.path()).unwrap();
    assert_eq!(unpacked, Unpacked { files: 5, bytes: 1000 + 700_000 + 512 + 9 });
    same(folder.path(), here.path());
}

#[test]
fn what_tar_packs_is_unpacked_here() {
    let (folder, here) = (sample(), tempfile::tempdir().unwrap());
    for format in ["gnu", "pax"] {
        let tarred =
            tool_with(Command::new("tar").arg("--format").arg(format).arg("-cf").arg("-").arg("-C").arg(folder.path()).arg("."), b"");
        let into = here.path().join(format);
        std::fs::create_dir(&into).unwrap();
        untar(stream_of(tarred.unwrap()), &into).unwrap();
        same(folder.path(), &into);
    }
}

#[test]
fn a_cut_archive_is_never_taken_for_a_whole_one() {
    let tarred = read(archive(sample().path()).unwrap()).unwrap();
    for cut in [0, 100, 512, 1024, tarred.len() / 2, tarred.len() - 1024, tarred.len() - 512, tarred.len() - 1] {
        let here = tempfile::tempdir().unwrap();
        let result = untar(stream_of(&tarred[..cut]), here.path());
        assert!(matches!(result, Err(StreamError::Corrupt { .. })), "cut to {cut}: {result:?}");
    }
    let zeros = tempfile::tempdir().unwrap();
    for name in ["1", "2"] {
        std::fs::write(zeros.path().join(name), [0; 4096]).unwrap();
    }
    let tarred_zeros = read(archive(zeros.path()).unwrap()).unwrap();
    let here = tempfile::tempdir().unwrap();
    assert!(untar(stream_of(&tarred_zeros[..512 + 4096]), here.path()).is_err(), "a content's zeros are no end");
    let here = tempfile::tempdir().unwrap();
    let error = untar(broken_after(&tarred[..5000]), here.path()).unwrap_err();
    assert_eq!(error.to_string(), "test: the source broke");
    let longer = [&tarred[..], b"more"].concat();
    assert!(untar(stream_of(longer), tempfile::tempdir().unwrap().path()).is_err());
}

#[test]
fn nothing_escapes_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("in/side");
    std::fs::create_dir_all(&inside).unwrap();
    let mut evil: Vec<Vec<u8>> = Vec::new();
    for name in ["../escaped", "a/../../escaped", "/tmp/escaped"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, &b"x"[..]).unwrap();
        evil.push(builder.into_inner().unwrap());
    }
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        builder.append_link(&mut header, "link", "..").unwrap();
        evil.push(builder.into_inner().unwrap());
    }
    for tarred in evil {
        let error = untar(stream_of(tarred), &inside).unwrap_err();
        assert!(matches!(error, StreamError::Corrupt { .. }), "{error}");
    }
    assert_eq!(std::fs::read_dir(&inside).unwrap().count() + std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn links_and_odd_names_are_refused_on_the_way_in() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
    let error = archive(folder.path()).err().unwrap();
    assert!(error.to_string().ends_with("link is neither a regular file nor a folder"), "{error}");
}
