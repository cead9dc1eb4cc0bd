//! Literal secrets stay unseen however they came into the text: by an alias, from the environment, in text that is no YAML.

#![expect(clippy::unwrap_used, reason = "a test that can not run the program fails")]

use crate::cli_run::command;

const CANARY: &str = "s3cr3t-카나리아";

/// Everything the program says of a pipeline, in every form, with the canary in the environment too.
fn said_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.yaml"), text).unwrap();
    let mut said = String::new();
    for arguments in [
        ["validate", "p.yaml"].as_slice(),
        &["validate", "p.yaml", "--format", "json"],
        &["validate", "p.yaml", "--format", "github"],
        &["plan", "p.yaml", "--offline", "--format", "json"],
    ] {
        let output = command(arguments).current_dir(folder.path()).env("CANARY", CANARY).output().unwrap();
        assert_eq!(output.status.code(), Some(65), "{arguments:?}");
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    said
}

const STEPS: &str = "stores: { here: { local: { path: x } } }
steps:
  - { id: dump, uses: dump, with: { connection: a } }
  - { id: upload, uses: upload, with: { store: here } }
";

#[test]
fn a_literal_is_hidden_wherever_it_stands() {
    let texts = [
        // By an alias: the anchor's line is not shown either.
        format!("version: 1\nname: p\nx-pw: &pw {CANARY}\nconnections: {{ a: {{ postgres: {{ host: h, password: *pw }} }} }}\n{STEPS}"),
        // From the environment, through the allowed names.
        format!(
            "version: 1\nname: p\nenv: [CANARY]\nconnections: {{ a: {{ postgres: {{ password: \"{{{{ env.CANARY }}}}\" }} }} }}\n{STEPS}"
        ),
        // In a block, a list, and a mapping that is no reference.
        format!("version: 1\nname: p\nconnections:\n  a:\n    postgres:\n      password: |\n        {CANARY}\n{STEPS}"),
        format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ password: [{CANARY}] }} }} }}\n{STEPS}"),
        format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ password: {{ value: {CANARY} }} }} }} }}\n{STEPS}"),
        // In text that is no YAML, or has another mistake on the same line.
        format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ password: {CANARY}, x: ] }} }} }}\n{STEPS}"),
        format!("version: 1\nname: p\n  password: {CANARY}\n\tx: 1\n"),
        format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ password: {CANARY}, password: {CANARY} }} }} }}\n{STEPS}"),
        format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ url: \"postgresql://u:{CANARY}@h/d\", prot: 1 }} }} }}\n{STEPS}"),
    ];
    for text in texts {
        let said = said_of(&text);
        assert!(!said.contains(CANARY), "the canary is repeated:\n{text}\n---\n{said}");
    }
}

#[test]
fn the_stars_keep_the_place_of_everything_on_the_line() {
    let said = said_of(&format!("version: 1\nname: p\nconnections: {{ a: {{ postgres: {{ password: {CANARY}, hots: h }} }} }}\n{STEPS}"));
    assert!(said.contains("password: *******••••, hots: h"), "{said}");
    assert!(said.contains("p.yaml:3:56"), "the column counts characters behind the stars:\n{said}");
}
