//! Arguments of `runner restore` that do not go together: each is refused before anything is looked at, and none is passed over.

use crate::apply_support::Bench;

const PIPELINE: &str = "version: 1
name: orders
connections:
  shop: { postgres: { host: 127.0.0.1, user: postgres, database: shop } }
stores:
  vault: { local: { path: @/store } }
steps:
  - { id: fetch, uses: fetch, with: { from: { store: vault } } }
  - { id: back, uses: restore, with: { connection: shop, WITH } }
";

#[test]
fn restore_refuses_options_that_do_not_go_together() {
    let bench = Bench::new();
    bench.text(&PIPELINE.replace(", WITH", ""));
    let tables = ["--tables", "주문"];
    let rows = ["--rows", "주문: true"];
    let patch = ["--apply-patch", "a.sql"];
    let cases: [(&[&str], &[&[&str]]); 3] = [
        (&tables, &[&["--drop-old"], &["--clean"], &["--with-deletes"], &["--patch", "x.sql"], &["--apply"], &["--replace"], &rows]),
        (&rows, &[&["--drop-old"], &["--clean"], &["--as", "merge"], &["--replace"], &["--no-owner"], &["--schema-only"]]),
        (
            &patch,
            &[
                &["--drop-old"],
                &["--clean"],
                &["--as", "merge"],
                &["--with-deletes"],
                &["--apply"],
                &["--patch", "x.sql"],
                &["--safety", "./x"],
                &["--before", "[\"true\"]"],
                &["--after", "[\"true\"]"],
                &["--no-owner"],
                &["--section", "data"],
                &["--file", "x.sql"],
            ],
        ),
    ];
    for (mode, others) in cases {
        for other in others {
            let ran = bench.run(&[&["restore", "pipeline.yaml", "--to", "shop", "--yes"], mode, other].concat());
            ran.is(64, &[mode[0], other[0]]);
        }
    }
}

#[test]
fn restore_of_data_without_its_tables_is_refused_before_it_begins() {
    let bench = Bench::new();
    let why = "needs tables to fill, and a new database has none";
    for sections in [&["data"][..], &["post-data"], &["data", "post-data"]] {
        bench.text(&PIPELINE.replace("WITH", &format!("sections: [{}]", sections.join(", "))));
        let ran = bench.run(&["validate", "pipeline.yaml"]);
        assert_eq!(ran.code, 65, "{}{}", ran.stdout, ran.stderr);
        assert!([why, "--section pre-data", "pipeline.yaml:9"].iter().all(|words| ran.stdout.contains(words)), "{}", ran.stdout);
        let given: Vec<&str> = sections.iter().flat_map(|section| ["--section", section]).collect();
        bench.file("shop.dump", "");
        let args = ["restore", "--file", "shop.dump", "--to", "postgresql:///shop?host=/nowhere", "--yes"];
        bench.run(&[&args[..], &given[..]].concat()).is(64, &[why]);
    }
}
