//! Two dumps by hand, and what is said of each change.

use super::super::Form;
use super::super::digest::ContentDigest;
use super::super::model::{Entry, Facts, REVISION};
use super::*;

fn entry(kind: &str, name: &str, definition: &str) -> Entry {
    let definition = ContentDigest::of(definition.as_bytes());
    let (schema, owner) = (Some("물류".into()), Some("주인".into()));
    Entry { kind: kind.into(), schema, name: name.into(), owner, definition, tablespace: None, access_method: None }
}

fn table(name: &str, columns: &[&str], rows: u64, content: &str) -> TableDigest {
    TableDigest {
        schema: "물류".into(),
        name: name.into(),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        with_partitions: false,
        rows,
        bytes: rows * 10,
        digest: ContentDigest::of(content.as_bytes()),
    }
}

fn side(inventory: Vec<Entry>, tables: Vec<TableDigest>) -> Fingerprint {
    let text = String::new;
    let facts = Facts {
        form: Form::Custom,
        version: text(),
        created: text(),
        database: text(),
        server_version: "16.4".into(),
        dump_version: "16.4".into(),
        encoding: text(),
    };
    let (sequences, large_objects, holders, incomparable) = (Vec::new(), LargeObjects::default(), Vec::new(), Vec::new());
    Fingerprint { revision: REVISION, facts, inventory, tables, sequences, large_objects, holders, incomparable }
}

#[test]
fn every_fate_of_a_table_is_told() {
    let names = ["same", "rows", "values", "columns", "gone", "dataless"];
    let inventory = |names: &[&str]| names.iter().map(|name| entry("TABLE", name, name)).collect::<Vec<_>>();
    let from = side(inventory(&names), names.map(|name| table(name, &["id"], 5, name)).to_vec());
    let to = side(
        inventory(&["same", "rows", "values", "columns", "dataless", "fresh"]),
        vec![
            table("same", &["id"], 5, "same"),
            table("rows", &["id"], 7, "more"),
            table("values", &["id"], 5, "other"),
            table("columns", &["id", "새"], 5, "columns"),
            table("fresh", &["id"], 1, "fresh"),
        ],
    );
    let found = changes(&from, &to);
    let fates: Vec<(&str, TableFate)> = found.tables.iter().map(|table| (table.table.name.as_str(), table.change)).collect();
    assert_eq!(
        fates,
        [
            ("columns", TableFate::Columns),
            ("dataless", TableFate::DataLeftOut),
            ("fresh", TableFate::Added),
            ("gone", TableFate::Removed),
            ("rows", TableFate::Rows),
            ("same", TableFate::Unchanged),
            ("values", TableFate::Values),
        ]
    );
    assert_eq!((found.tables[4].from.unwrap().rows, found.tables[4].to.unwrap().bytes), (5, 70));
    let objects: Vec<(&str, &ObjectFate)> = found.objects.iter().map(|change| (change.object.name.as_str(), &change.change)).collect();
    assert_eq!(objects, [("fresh", &ObjectFate::Added), ("gone", &ObjectFate::Removed)], "the dataless one is still defined");
    let back = changes(&to, &from);
    assert_eq!(back.tables[1].change, TableFate::DataIncluded);
}

#[test]
fn definitions_owners_sequences_and_large_objects_are_told() {
    let mut from = side(vec![entry("VIEW", "v", "one"), entry("INDEX", "i", ""), entry("SEQUENCE", "s", "")], Vec::new());
    let value = |last_value| SequenceValue { schema: "물류".into(), name: "s".into(), last_value, is_called: true };
    from.sequences = vec![value(5)];
    let mut to = from.clone();
    assert_eq!(changes(&from, &to), Changes::default());
    to.inventory[0].definition = ContentDigest::of(b"two");
    to.inventory[1].owner = None;
    to.sequences = vec![value(9)];
    to.large_objects.count = 2;
    let found = changes(&from, &to);
    let owner = ObjectFate::Owner { from: Some("주인".into()), to: None };
    let told: Vec<&ObjectFate> = found.objects.iter().map(|change| &change.change).collect();
    assert_eq!(told, [&owner, &ObjectFate::Redefined]);
    assert_eq!((found.sequences[0].from, found.sequences[0].to), (Some((5, true)), Some((9, true))));
    assert_eq!(found.large_objects.unwrap().to.count, 2);
    to.sequences.clear();
    let dataless = changes(&from, &to);
    assert!(dataless.objects.iter().all(|change| change.object.kind != "SEQUENCE"), "its value is not told, and it is not gone");
    assert_eq!(dataless.sequences[0].to, None);
}
