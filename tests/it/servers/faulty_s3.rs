//! A loopback proxy in front of a real S3 server that does one fault to chosen requests and passes on the rest.
//! Each connection carries one request, so that cutting it cuts exactly that.

#![expect(clippy::unwrap_used, reason = "a test server that does not start fails its test")]

use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// The proxy answers this status with this error code and passes nothing on.
    Answer(u16, &'static str),
    /// The request is passed on and done, and its answer is lost.
    LoseAnswer,
    /// The request is passed on; of its answer's body only so many bytes arrive.
    CutAnswer(usize),
    /// So many bytes of the request's body are read, then the connection ends.
    CutRequest(usize),
    /// Nothing is passed on; the answer is 200 with an error document in it.
    ErrorInside,
    /// One bit of the request's body is changed on its way, or of the answer's when the request has none.
    Damage,
    /// The answer never comes.
    Hang,
    /// The request is passed on after so many milliseconds.
    Slow(u64),
    /// Nothing is passed on; the answer is 200 with this body.
    Say(&'static str),
    /// The request is passed on; of the objects that its answer lists, those whose key holds this text are left out.
    LeaveOut(&'static str),
    /// The request is passed on, and the answer's header of this name is replaced.
    Rewrite(&'static str, &'static str),
}

/// A fault for the first `times` requests of a method whose path or query holds a text.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) holds: &'static str,
    pub(crate) times: AtomicU32,
    pub(crate) fault: Fault,
}

/// The rule for the first `times` such requests.
pub(crate) fn rule(method: &'static str, holds: &'static str, times: u32, fault: Fault) -> Rule {
    Rule { method, holds, times: AtomicU32::new(times), fault }
}

/// A running proxy.
pub(crate) struct FaultyS3 {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl FaultyS3 {
    pub(crate) fn before(server: SocketAddr, rules: Vec<Rule>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, stop, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (rules, stopped, log) = (Arc::new(rules), Arc::clone(&stop), Arc::clone(&seen));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (rules, stopped, log) = (Arc::clone(&rules), Arc::clone(&stopped), Arc::clone(&log));
                // A client or server that goes away is what these tests are about.
                std::thread::spawn(move || drop(client.and_then(|client| serve(&client, server, &rules, &stopped, &log))));
            }
        });
        Self { address, seen, stop }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far whose first line or headers hold this text.
    pub(crate) fn seen(&self, text: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Whether a request of this method was made whose first line holds this text, or its percent-encoded form.
    pub(crate) fn saw(&self, method: &str, holds: &str) -> bool {
        let first = |line: &String| line.lines().next().unwrap_or_default().to_owned();
        self.seen.lock().unwrap().iter().map(first).any(|line| line.starts_with(&format!("{method} ")) && line.contains(holds))
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect(self.address);
    }
}

struct Head {
    line: String,
    headers: Vec<String>,
}

impl Head {
    fn read(from: &mut impl std::io::BufRead) -> std::io::Result<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        Ok(Self { line: lines.remove(0), headers: lines })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn length(&self) -> usize {
        self.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The head again, for a connection that ends with this message.
    fn bytes(&self) -> Vec<u8> {
        let kept = self.headers.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let lines: Vec<&str> = std::iter::once(&self.line).chain(kept).map(String::as_str).collect();
        format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).into_bytes()
    }
}

fn serve(client: &TcpStream, server: SocketAddr, rules: &[Rule], stop: &AtomicBool, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let head = Head::read(&mut reader)?;
    log.lock().unwrap().push(format!("{}\n{}", head.line, head.headers.join("\n")));
    let fault = rules.iter().find(|rule| applies(rule, &head.line)).map(|rule| rule.fault.clone());
    if head.header("expect").is_some() {
        (&*client).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let wanted = if let Some(Fault::CutRequest(bytes)) = fault { bytes.min(head.length()) } else { head.length() };
    let mut body = vec![0; wanted];
    reader.read_exact(&mut body)?;
    match fault {
        Some(Fault::CutRequest(_)) => client.shutdown(Shutdown::Both),
        Some(Fault::Answer(status, code)) => answer(client, status, code),
        Some(Fault::ErrorInside) => answer(client, 200, "InternalError"),
        Some(Fault::Say(body)) => say(client, 200, body),
        Some(Fault::Slow(pause)) => {
            std::thread::sleep(Duration::from_millis(pause));
            pass_on(client, server, &head, body, None)
        }
        Some(Fault::Hang) => {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        other => pass_on(client, server, &head, body, other.as_ref()),
    }
}

fn applies(rule: &Rule, line: &str) -> bool {
    let suits = line.starts_with(&format!("{} ", rule.method)) && line.contains(rule.holds);
    suits && rule.times.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn answer(client: &TcpStream, status: u16, code: &str) -> std::io::Result<()> {
    say(client, status, &format!("<Error><Code>{code}</Code><Message>made by the test</Message></Error>"))
}

fn say(mut client: &TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    write!(
        client,
        "HTTP/1.1 {status} x\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A listing without the objects whose key holds a text.
fn without(listing: &str, text: &str) -> String {
    let mut kept = String::new();
    for (place, part) in listing.split("<Contents>").enumerate() {
        let (object, rest) = if place == 0 { ("", part) } else { part.split_once("</Contents>").unwrap() };
        if place > 0 && !object.contains(text) {
            kept = kept + "<Contents>" + object + "</Contents>";
        }
        kept += rest;
    }
    kept
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

fn pass_on(mut client: &TcpStream, server: SocketAddr, head: &Head, mut body: Vec<u8>, fault: Option<&Fault>) -> std::io::Result<()> {
    let damage = matches!(fault, Some(Fault::Damage));
    if damage && !body.is_empty() {
        flip(&mut body);
    }
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(&head.bytes())?;
    upstream.write_all(&body)?;
    let mut reader = BufReader::new(upstream);
    let mut answered = Head::read(&mut reader)?;
    let mut content = Vec::new();
    let length = if head.line.starts_with("HEAD ") { 0 } else { answered.length() };
    if answered.header("transfer-encoding").is_some() {
        reader.read_to_end(&mut content)?;
    } else {
        content.resize(length, 0);
        reader.read_exact(&mut content)?;
    }
    match fault {
        Some(Fault::LoseAnswer) => return client.shutdown(Shutdown::Both),
        Some(Fault::Damage) if body.is_empty() => flip(&mut content),
        Some(Fault::CutAnswer(bytes)) => content.truncate(*bytes),
        Some(Fault::LeaveOut(text)) => {
            content = without(&String::from_utf8_lossy(&content), text).into_bytes();
            answered.headers.retain(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
            answered.headers.push(format!("Content-Length: {}", content.len()));
        }
        Some(Fault::Rewrite(name, value)) => {
            answered.headers.retain(|line| !line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            answered.headers.push(format!("{name}: {value}"));
        }
        _ => {}
    }
    client.write_all(&answered.bytes())?;
    client.write_all(&content)?;
    client.shutdown(Shutdown::Both)
}
