//! A web server on loopback that records what it is asked and answers by a script, in plain HTTP or with TLS.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One answer of the script.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: String,
    body: String,
    echo: bool,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new(), echo: false }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Answers with the whole request, as a careless server's error page does.
    pub(crate) fn echo(mut self) -> Self {
        self.echo = true;
        self
    }
}

/// The server; it stops when dropped.
pub(crate) struct HttpSink {
    pub(crate) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpSink {
    /// Starts a server that gives these answers in turn, and the last one from then on.
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        Self::serve(answers, None)
    }

    /// The same with TLS.
    pub(crate) fn start_tls(answers: Vec<Answer>, certificates: &Certificates) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_file(&certificates.certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(&certificates.key).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self::serve(answers, Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())))
    }

    fn serve(answers: Vec<Answer>, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (record, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                converse(connection.unwrap(), &answers, tls.as_ref(), &record);
            }
        });
        Self { port, requests, stop, thread: Some(thread) }
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for HttpSink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread out of its wait for a connection.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn converse(connection: TcpStream, answers: &[Answer], tls: Option<&Arc<rustls::ServerConfig>>, record: &Mutex<Vec<Request>>) {
    match tls {
        None => exchange(connection, answers, record),
        Some(config) => {
            let session = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
            exchange(rustls::StreamOwned::new(session, connection), answers, record);
        }
    }
}

/// One request and its answer; a client that gives up in the middle (an untrusted certificate) is no request.
fn exchange(stream: impl Read + Write, answers: &[Answer], record: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    let Some(request) = read_request(&mut reader) else { return };
    let mut requests = record.lock().unwrap();
    let answer = &answers[requests.len().min(answers.len() - 1)];
    let body = if answer.echo { format!("{request:?} {}", String::from_utf8_lossy(&request.body)) } else { answer.body.clone() };
    requests.push(request);
    drop(requests);
    let (status, headers, length) = (answer.status, &answer.headers, body.len());
    let text = format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let stream = reader.get_mut();
    drop(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()));
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned()))).collect();
    let mut request = Request { line: lines[0].clone(), headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// A certificate for 127.0.0.1 and localhost, and the authority that signed it, as PEM files.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder, with the `openssl` program.
    pub(crate) fn make(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name);
        let common = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(folder, &format!("{common} -subj /CN=test-authority -keyout ca.key -out ca.pem"));
        let names = "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=CA:FALSE";
        openssl(folder, &format!("{common} -subj /CN=localhost {names} -CA ca.pem -CAkey ca.key -keyout leaf.key -out leaf.pem"));
        Self { authority: path("ca.pem"), certificate: path("leaf.pem"), key: path("leaf.key") }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("the program openssl is missing ({error}): run .ci/setup"));
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
