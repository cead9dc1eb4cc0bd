//! A report of three made-up pipelines, as a page: `cargo run --example report [en|ko] > report.html`. The picture in README is of it.

mod demo;

use std::io::Write as _;

use runner::render::report::{Language, html};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let language = if std::env::args().nth(1).as_deref() == Some("ko") { Language::Korean } else { Language::English };
    let page = html(&demo::report(language))?;
    Ok(std::io::stdout().write_all(page.as_bytes())?)
}
