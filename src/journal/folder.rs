//! What lies beside a run's journal while the run can still be gone on with: its plan, and a receipt of each node that has ended.
//!
//! Each file is written under another name, synced, renamed without replacing anything, and its folder synced, so that it is there whole or
//! not at all. Only its owner may read it. It goes once the run ended well, or a newer run of the pipeline begins. This file does not know
//! what plan and receipts say.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::runs::{RunFile, Standing};
use crate::ids::{NodeId, PipelineName, RunId};

const PLAN: &str = "plan.json";

const RECEIPT: &str = ".receipt.json";

/// The longest part of a node's name in a file name, in bytes.
const NAME_MOST: usize = 180;

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// A receipt as it lies there.
#[derive(Debug, Clone)]
pub struct ReceiptFile {
    /// Where.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl RunFolder {
    /// The folder beside a journal; it need not be there.
    pub fn of(journal: &Path) -> Self {
        Self { path: journal.with_extension("") }
    }

    /// Makes the folder, with the plan in it.
    ///
    /// # Errors
    /// When it can not be made or written.
    pub fn begin(journal: &Path, plan: &[u8]) -> io::Result<Self> {
        let folder = Self::of(journal);
        DirBuilder::new().mode(0o700).create(&folder.path)?;
        folder.write(PLAN, plan)?;
        if let Some(above) = folder.path.parent() {
            File::open(above)?.sync_all()?;
        }
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its plan is.
    pub fn plan_path(&self) -> PathBuf {
        self.path.join(PLAN)
    }

    /// Whether there is something to go on from.
    pub fn holds_plan(&self) -> bool {
        self.plan_path().is_file()
    }

    /// The plan; `None` where none is kept.
    ///
    /// # Errors
    /// When it is there and can not be read.
    pub fn plan(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.plan_path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The receipts.
    ///
    /// # Errors
    /// When one can not be read.
    pub fn receipts(&self) -> io::Result<Vec<ReceiptFile>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(RECEIPT) && !name.starts_with('.') {
                found.push(ReceiptFile { bytes: std::fs::read(&path)?, path });
            }
        }
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }

    /// Keeps a receipt; one that is there is never replaced.
    ///
    /// # Errors
    /// When it can not be written, or the node has one.
    pub fn keep(&self, node: &NodeId, receipt: &[u8]) -> io::Result<()> {
        self.write(&format!("{}{RECEIPT}", name_of(node)), receipt)
    }

    /// Lets a receipt go: its node will run again.
    ///
    /// # Errors
    /// When it can not be removed.
    pub fn drop_receipt(&self, receipt: &ReceiptFile) -> io::Result<()> {
        std::fs::remove_file(&receipt.path)?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes the folder and all that is in it; one that is not there is gone already.
    ///
    /// # Errors
    /// When it can not be removed.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (new, whole) = (self.path.join(format!(".{name}")), self.path.join(name));
        // One that a killed process left is written anew.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match rustix::fs::renameat_with(CWD, &new, CWD, &whole, RenameFlags::NOREPLACE) {
            // File systems that can not rename without replacing say so in these ways.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                std::fs::hard_link(&new, &whole)?;
                std::fs::remove_file(&new)?;
            }
            other => other?,
        }
        File::open(&self.path)?.sync_all()
    }
}

/// A file name for a node: its own, or the beginning of it with a number where it would be too long.
fn name_of(node: &NodeId) -> String {
    let name = node.as_str().replace('/', "_");
    if name.len() <= NAME_MOST {
        return name;
    }
    let end = (0..=NAME_MOST).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{}~{:016x}", &name[..end], hasher.finish())
}

/// Removes the folders of a pipeline's other runs that are over: a newer run has begun. Answers what could not be removed.
pub fn supersede(journal: &Path, pipeline: &PipelineName, host: &str) -> Vec<io::Error> {
    let Some(folder) = journal.parent() else { return Vec::new() };
    let others = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let (name, path) = (entry.file_name(), entry.path().with_extension("ndjson"));
        let run = name.to_str()?.parse::<RunId>().ok()?;
        (path != journal).then(|| RunFile { pipeline: pipeline.clone(), run, path })
    });
    let over = |file: &RunFile| {
        let standing = file.look(host).map(|found| found.standing);
        !matches!(standing, Ok(Standing::Alive | Standing::Elsewhere))
    };
    others.filter(over).filter_map(|file| RunFolder::of(&file.path).remove().err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::StepId;

    #[test]
    fn receipts_are_create_only_and_read_back_whatever_their_nodes_are_called() {
        let state = tempfile::tempdir().unwrap();
        let folder = RunFolder::begin(&state.path().join("20261120T021700Z-4f3a9c.ndjson"), b"{}").unwrap();
        assert!(folder.holds_plan() && folder.plan().unwrap() == Some(b"{}".to_vec()));
        let long = StepId::new("𠀀".repeat(63)).unwrap();
        let nodes = [NodeId::implicit("commit"), NodeId::part(&long, "check"), NodeId::part(&long, "finish")];
        for node in &nodes {
            folder.keep(node, node.as_str().as_bytes()).unwrap();
            assert!(folder.keep(node, b"other").is_err(), "never replaced");
        }
        let found = folder.receipts().unwrap();
        assert_eq!(found.len(), nodes.len());
        assert!(nodes.iter().all(|node| found.iter().any(|file| file.bytes == node.as_str().as_bytes())));
        folder.drop_receipt(&found[0]).unwrap();
        assert_eq!(folder.receipts().unwrap().len(), 2);
        folder.remove().unwrap();
        folder.remove().unwrap();
        assert!(!folder.holds_plan());
    }
}
