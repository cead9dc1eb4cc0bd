//! What a restore leaves out of an archive, as options of `pg_restore`, and why nothing can be left out of a script.
//!
//! Nothing is run here.

use super::Restore;

/// What to do where something should be left out of a script.
pub const ONLY_WHOLE: &str = "leave that out, and restore the whole; roles that the script names can be made first (--globals). Of a dump in \
                              custom, tar or directory format parts can be left out";

/// Why a plain dump is not restored with these options of `pg_restore`; `None` where there are none.
pub fn refused_of_script(options: &[String]) -> Option<String> {
    let asked = options.join(", ");
    (!options.is_empty()).then(|| format!("a plain dump is a script that runs whole, and nothing can be left out of it: {asked}"))
}

impl Restore {
    /// The options of `pg_restore` for what is left out.
    pub fn options(&self) -> Vec<String> {
        let flags = [(self.no_owner, "--no-owner"), (self.no_privileges, "--no-privileges"), (self.schema_only, "--schema-only")];
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned());
        flags.chain(self.sections.iter().map(|section| format!("--section={}", section.word()))).collect()
    }
}
