//! The kinds of step: their parameters, their documentation, and how each opens.
//!
//! Where a kind can stand in a stream is its type ([`Kind`]), so the planner fuses and the executor runs without knowing any
//! kind by name. A new kind is one file here and one row in `kinds!`. Steps see live handles through [`Cx`] and
//! answer with values; this module does not schedule, retry, print, or let one step know another.

mod blame;
mod check;
mod checksum;
mod command;
mod commit;
mod complete;
mod compress;
pub mod copy;
mod copy_act;
mod dump;
mod encrypt;
mod error;
mod fetch;
mod file_back;
mod finish;
mod globals;
mod http;
mod lasting;
mod load;
pub mod notify;
mod open;
mod origin;
mod over;
mod patience;
mod point;
mod problem;
mod prove;
pub mod prune;
mod prune_act;
mod prune_again;
mod record;
pub mod recovery;
pub mod restore;
mod reviewed;
mod scratch;
mod sql;
mod tell;
mod upload;
mod verify_restore;
mod way_back;
mod web;
pub mod work;

pub use check::counted;
pub use checksum::{Checksum, word as checksum_word};
pub use command::Command;
pub use complete::{Verdict, excluded_tables, in_words as lacking_in_words};
pub use compress::{CodecChoice, Compress};
pub use copy::CopyTo;
pub use dump::{Dump, Format, Section};
pub use encrypt::{AgeParams, Encrypt, OpenPgpParams};
pub use error::{StepError, fault};
pub use fetch::Fetch;
pub use file_back::{FileBack, FileFacts, look as look_at_file};
pub use globals::{Globals, Only};
pub use http::Http;
pub use lasting::Again;
pub use notify::Notify;
pub use open::{AcceptSink, AfterFilter, ApplyFilter, Cx, OpenSource, Opened, PerformEffect, Reports, Settled, Upstream};
pub use point::PointRef;
pub use problem::{Problem, References, Trouble};
pub use prune::Prune;
pub use record::{Record, of_failure, of_point};
pub use restore::{How, Replace, Restore, Rows, RowsOf, Tables, TablesAs};
pub use sql::Sql;
pub use upload::Upload;
pub use verify_restore::{Check, Expected, Prove, RowCount, VerifyRestore};
pub use way_back::{Keys, read_fingerprint};
pub use web::TextOrSecret;
pub use work::{Edge, Effect, Filter, Flow, Recording, Sink, Source, Stage, Staged, Touch, Undo, Work};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

/// What every kind of step tells about its parameters without opening anything.
pub trait StepKind {
    /// The connections, stores and secrets it names.
    fn references(&self) -> References<'_> {
        References::default()
    }

    /// One line for the plan, such as `zstd level 3`.
    fn words(&self) -> String;

    /// What is wrong with the parameters beyond what the schema can say.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    /// The restore point of an earlier run that it works on.
    fn point(&self) -> Option<&PointRef> {
        None
    }

    /// Whether it works in a database that it, or a step before it, makes: its connection need not have one yet.
    fn makes_database(&self) -> bool {
        false
    }

    /// What is wrong with the files it will read. Looks at them; asked only when a run is near.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Whether a new attempt does no harm; otherwise there is only one, unless the step itself asks for more.
    fn repeatable(&self) -> bool {
        true
    }
}

/// Where a kind can stand.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// It begins a stream.
    Source(Source),
    /// It passes a stream on, changed or measured.
    Filter(Filter),
    /// It ends a stream.
    Sink(Landing),
    /// It acts without a stream.
    Effect(Effect),
    /// The planner lowers it to several of the others.
    Composite(VerifyRestore),
}

/// Where a stream lands.
#[derive(Debug, Clone, PartialEq)]
pub enum Landing {
    /// A new object of a store.
    Upload(Upload),
    /// A database.
    Restore(Box<Restore>),
}

/// A row of the table of kinds.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The word behind `uses`.
    pub uses: &'static str,
    /// The schema of its `with`.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// JSON pointers below `with` of texts that take `run.*` and are rendered when a run starts.
    pub run_templates: &'static [&'static str],
    /// JSON pointers below `with` of texts whose names only the step knows; it tries them itself.
    pub own_templates: &'static [&'static str],
}

macro_rules! kinds {
    ($($uses:literal => $variant:ident($kind:expr), run $run:expr, own $own:expr;)*) => {
        /// The parameters of a step: `uses` names the kind, `with` holds what it takes.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "uses", content = "with")]
        pub enum Params {
            $(
                #[doc = concat!("`uses: ", $uses, "`")]
                #[serde(rename = $uses)]
                $variant($variant),
            )*
        }

        /// Every kind of step there is.
        pub const KINDS: &[Row] = &[$(Row { uses: $uses, schema: <$variant as JsonSchema>::json_schema, run_templates: $run, own_templates: $own },)*];

        impl Params {
            /// The word behind `uses`.
            pub const fn uses(&self) -> &'static str {
                match self { $(Self::$variant(_) => $uses,)* }
            }

            /// Where the kind can stand.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$variant(params) => $kind(params.clone().into()),)* }
            }

            /// What the kind tells about its parameters.
            pub fn facts(&self) -> &dyn StepKind {
                match self { $(Self::$variant(params) => params,)* }
            }
        }
    };
}

kinds! {
    "dump" => Dump(Kind::Source), run &[], own &[];
    "globals" => Globals(Kind::Source), run &[], own &[];
    "compress" => Compress(Kind::Filter), run &[], own &[];
    "checksum" => Checksum(Kind::Filter), run &[], own &[];
    "encrypt" => Encrypt(Kind::Filter), run &[], own &[];
    "upload" => Upload(Kind::Sink), run &["/key"], own &[];
    "verify-restore" => VerifyRestore(Kind::Composite), run &[], own &[];
    "fetch" => Fetch(Kind::Source), run &[], own &[];
    "restore" => Restore(Kind::Sink), run &[], own &[];
    "notify" => Notify(Kind::Effect), run &[], own &["/title", "/message"];
    "sql" => Sql(Kind::Effect), run &[], own &[];
    "http" => Http(Kind::Effect), run &[], own &[];
    "command" => Command(Kind::Effect), run &[], own &[];
    "prune" => Prune(Kind::Effect), run &[], own &[];
    "copy" => CopyTo(Kind::Effect), run &[], own &[];
    "record" => Record(Kind::Effect), run &[], own &[];
}
