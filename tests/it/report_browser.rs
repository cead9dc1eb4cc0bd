//! The page of the report in a real browser: on a telephone and on a wide screen, light and dark, in both languages, nothing sticks out,
//! nothing is hard to read, nothing is complained of. And the same look finds all of that on a page where it is so.

#![expect(clippy::unwrap_used, reason = "what a look can not go on without fails it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use runner::render::report::{Language, Report, html};
use serde_json::Value;

use crate::report_demo;

/// The widths of a telephone, of a tablet or a sheet of paper, and of a screen. A window has a least width, which a frame has not.
const WIDTHS: [u32; 3] = [390, 768, 1440];

/// What looks at the page in each of the frames, once it is loaded. The page itself stays as it is, with its own policy.
const LOOK: &str = r#"
const shine = (color) => {
  const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
  const part = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  return { light: 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b), clear: a === 0 };
};
const behind = (element, view) => {
  for (let at = element; at; at = at.parentElement) {
    const back = shine(view.getComputedStyle(at).backgroundColor);
    if (!back.clear) return back.light;
  }
  return 1;
};
const look = (frame) => {
  const view = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  const name = (element) => `${element.tagName}.${element.getAttribute("class") ?? ""} ${element.textContent.trim().slice(0, 40)}`;
  const wide = [], faint = [], touching = [];
  const folded = page.querySelector("details")?.getBoundingClientRect().height ?? 0;
  for (const details of page.querySelectorAll("details")) details.open = true;
  for (const element of page.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect();
    if (box.right > view.innerWidth + 1 && !element.closest(".scroll, .shapes, [aria-hidden]")) wide.push(name(element));
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !box.width || element.closest("title, desc, style")) continue;
    const style = view.getComputedStyle(element), ink = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [shine(ink).light, behind(element, view)].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${name(element)}`);
  }
  for (const svg of page.querySelectorAll("svg")) {
    const boxes = [...svg.querySelectorAll(":scope > text, :scope > g > text")].map((text) => [text, text.getBoundingClientRect()]);
    for (const [one, a] of boxes) {
      const node = one.parentElement.querySelector("rect");
      if (one.parentElement.tagName === "g" && node && a.right > node.getBoundingClientRect().right + 1) wide.push(`in its box: ${name(one)}`);
      for (const [other, b] of boxes) {
        if (one !== other && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3) touching.push(name(one));
      }
    }
  }
  const back = shine(view.getComputedStyle(page.body).backgroundColor).light;
  return { inner: view.innerWidth, scroll: root.scrollWidth, height: root.scrollHeight, dark: back < 0.2, folded: folded < 80, wide, faint, touching };
};
onload = () => {
  const found = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
  document.getElementById("found").textContent = btoa(unescape(encodeURIComponent(found)));
};
"#;

/// What was seen of a page at a width.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inner: u64,
    scroll: u64,
    dark: bool,
    /// Whether the table of points is folded away, where nobody has opened it.
    folded: bool,
    /// What sticks out, is hard to read, or lies over something else.
    faults: Vec<String>,
}

/// The browser; without it these tests fail.
fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join("chromium")).find(|program| program.is_file());
    found.expect("chromium is not there: run .ci/setup")
}

fn chromium(folder: &Path, dark: bool) -> Command {
    let profile = tempfile::tempdir_in(folder).unwrap().keep();
    let mut command = Command::new(browser());
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        // The page lies beside the one that looks at it.
        "--allow-file-access-from-files",
        "--virtual-time-budget=20000",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command.arg(format!("--blink-settings=preferredColorScheme={}", i32::from(!dark)));
    command.stdin(Stdio::null()).env("HOME", folder);
    command
}

/// Looks at a page at each width, and listens to what the browser complains of.
fn look(page: &str, dark: bool) -> (Vec<Seen>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("report.html"), page).unwrap();
    let frames: String =
        WIDTHS.map(|width| format!("<iframe src=\"report.html\" style=\"border:0;width:{width}px;height:900px\"></iframe>")).concat();
    let outer = format!(
        "<!DOCTYPE html><html style=\"color-scheme:light dark\"><meta charset=\"utf-8\"><link rel=\"icon\" href=\"data:,\">{frames}<pre id=\"found\"></pre><script>{LOOK}</script></html>"
    );
    std::fs::write(folder.path().join("look.html"), outer).unwrap();
    let address = format!("file://{}/look.html", folder.path().display());
    let output = chromium(folder.path(), dark).args(["--window-size=1500,1900", "--dump-dom", &address]).output().unwrap();
    let (dom, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let found = dom.split("<pre id=\"found\">").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or_default();
    let json = base64::engine::general_purpose::STANDARD.decode(found).unwrap_or_default();
    let Ok(Value::Array(frames)) = serde_json::from_slice(&json) else { panic!("the browser said nothing:\n{dom}\n{log}") };
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (frames.iter().map(seen).collect(), console)
}

fn seen(frame: &Value) -> Seen {
    let list = |name: &'static str| frame[name].as_array().unwrap().iter().map(move |what| format!("{name}: {}", what.as_str().unwrap()));
    let number = |name: &str| frame[name].as_u64().unwrap();
    assert!(number("height") > 300, "the page is empty: {frame}");
    Seen {
        inner: number("inner"),
        scroll: number("scroll"),
        dark: frame["dark"].as_bool().unwrap(),
        folded: frame["folded"].as_bool().unwrap(),
        faults: ["wide", "faint", "touching"].into_iter().flat_map(list).collect(),
    }
}

#[track_caller]
fn is_fine(report: &Report, dark: bool) {
    let (frames, console) = look(&html(report).unwrap(), dark);
    assert_eq!(console, Vec::<String>::new());
    let fine = WIDTHS.map(|width| Seen { inner: width.into(), scroll: width.into(), dark, folded: true, faults: Vec::new() });
    assert_eq!(frames, fine);
}

#[test]
fn report_page_fits_and_reads_well_in_a_browser() {
    for language in [Language::English, Language::Korean] {
        for dark in [false, true] {
            is_fine(&report_demo::report(language), dark);
        }
    }
}

#[test]
fn report_page_fits_with_the_longest_names_and_without_a_single_point() {
    let long = "가".repeat(63);
    let yaml = report_demo::CUSTOMERS
        .replace("고객-매시간", &long)
        .replace("nas", &"저".repeat(63))
        .replace("고객 데이터베이스를", &"x".repeat(400));
    let silent = format!("s3://acme: {}", "x".repeat(500));
    let stores = vec![
        report_demo::store(
            &"저".repeat(63),
            "/mnt",
            Ok(runner::status::Seen { failed: vec![report_demo::failed(3, &long, &silent)], ..Default::default() }),
        ),
        report_demo::store("offsite", "s3://x", Err(silent)),
    ];
    let mut report = report_demo::report(Language::Korean);
    report.subjects = vec![report_demo::subject(&yaml, stores)];
    is_fine(&report, false);
}

#[test]
fn report_page_prints_light_and_unfolded() {
    let page = html(&report_demo::report(Language::Korean)).unwrap();
    assert_eq!((page.matches("@media print").count(), page.matches("@media screen and").count()), (1, 1));
    // What holds for paper holds for a screen here, and what holds for a screen does not.
    let paper = page.replace("@media print", "@media all").replace("@media screen and", "@media print and");
    let (frames, _) = look(&paper, true);
    let told: Vec<_> = frames.iter().map(|frame| (frame.dark, frame.folded)).collect();
    assert_eq!(told, [(false, false); 3]);
    // About as wide as paper: nothing is cut off there.
    assert_eq!((frames[1].scroll, &frames[1].faults), (768, &Vec::new()));
}

#[test]
fn report_look_of_a_browser_finds_what_is_wrong() {
    let page = html(&report_demo::report(Language::English)).unwrap();
    let wide = "<p style=\"width:700px\">wide</p><p style=\"color:#ddd\">faint</p><script>alert(1)</script><img src=\"x.png\" alt=\"\">";
    let (frames, console) = look(&page.replace("</main>", &format!("{wide}</main>")), false);
    assert!(frames[0].scroll > 390 && frames[2].scroll == 1440, "{frames:?}");
    assert!(
        frames[0].faults.contains(&"wide: P. wide".to_owned()) && !frames[2].faults.contains(&"wide: P. wide".to_owned()),
        "{frames:?}"
    );
    assert!(frames[2].faults.iter().any(|fault| fault.starts_with("faint: ") && fault.ends_with("P. faint")), "{frames:?}");
    assert!(console.iter().any(|line| line.contains("script")) && console.iter().any(|line| line.contains("x.png")), "{console:?}");
}
