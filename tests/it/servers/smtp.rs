//! A mail server on loopback (aiosmtpd) that keeps what it gets, decoded by Python's own mail reader.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};

use super::http::Certificates;

/// Takes its options as JSON, prints its port, keeps each mail as JSON, and ends when its standard input does.
const SERVER: &str = r#"
import asyncio, email, email.policy, json, os, ssl, sys, threading
from aiosmtpd.smtp import SMTP, AuthResult

options = json.loads(sys.argv[1])
context = None
if options["certificate"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["certificate"], options["key"])

class Keeper:
    count = 0
    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        kept = {
            "sender": envelope.mail_from, "recipients": envelope.rcpt_tos, "subject": mail["Subject"], "from": mail["From"], "to": mail["To"],
            "date": mail["Date"], "message_id": mail["Message-ID"], "auto_submitted": mail["Auto-Submitted"],
            "type": mail["Content-Type"], "body": mail.get_content().replace("\r\n", "\n"), "hello": session.host_name,
            "tls": server.transport.get_extra_info("ssl_object") is not None, "authenticated": session.authenticated, "raw": envelope.content.decode("ascii", "replace"),
        }
        path = os.path.join(options["folder"], f"{Keeper.count:03}.json")
        with open(path, "w") as file:
            json.dump(kept, file)
        reply = options["replies"][min(Keeper.count, len(options["replies"]) - 1)]
        Keeper.count += 1
        return reply

def authenticate(server, session, envelope, mechanism, data):
    right = (data.login.decode(), data.password.decode()) == (options["user"], options["password"])
    return AuthResult(success=right, handled=right)

def server():
    starttls = options["tls"] == "starttls"
    return SMTP(
        Keeper(), tls_context=context if starttls else None, require_starttls=starttls, decode_data=False, ident="sink",
        authenticator=authenticate, auth_required=bool(options["user"]), auth_require_tls=starttls, auth_exclude_mechanism=[],
    )

async def main():
    implicit = context if options["tls"] == "implicit" else None
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, ssl=implicit)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()

threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
asyncio.run(main())
"#;

/// How the server is set up.
#[derive(Default)]
pub(crate) struct SmtpOptions<'a> {
    /// `starttls` or `implicit`, with the certificates; plain otherwise.
    pub(crate) tls: Option<(&'a str, &'a Certificates)>,
    /// The one user and password it takes; anybody otherwise.
    pub(crate) login: Option<(&'a str, &'a str)>,
    /// What it answers to each mail in turn, the last one from then on; `250 OK` otherwise.
    pub(crate) replies: Vec<&'a str>,
}

/// The server; it stops when dropped.
pub(crate) struct SmtpSink {
    pub(crate) port: u16,
    folder: PathBuf,
    child: Child,
    // Its end tells the server to stop, also when this process is killed.
    _stdin: ChildStdin,
}

impl SmtpSink {
    /// Starts a server that keeps mail in the folder.
    pub(crate) fn start(folder: &Path, options: &SmtpOptions<'_>) -> Self {
        let (tls, certificates) = options.tls.unzip();
        let (user, password) = options.login.unzip();
        let replies = if options.replies.is_empty() { vec!["250 OK"] } else { options.replies.clone() };
        let options = json!({
            "folder": folder, "tls": tls, "user": user, "password": password, "replies": replies,
            "certificate": certificates.map(|c| &c.certificate), "key": certificates.map(|c| &c.key),
        });
        let python = python();
        let mut command = Command::new(&python);
        command.args(["-W", "ignore", "-c", SERVER, &options.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{} can not be started ({e}): run .ci/setup", python.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("aiosmtpd did not start in {}: run .ci/setup", python.display()));
        let stdin = child.stdin.take().unwrap();
        Self { port, folder: folder.to_owned(), child, _stdin: stdin }
    }

    /// The mails kept so far, in order.
    pub(crate) fn mails(&self) -> Vec<Value> {
        let mut paths: Vec<_> = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn python() -> PathBuf {
    let tools = std::env::var_os("RUNNER_TEST_TOOLS").unwrap_or_else(|| "/var/cache/runner-tools".into());
    let python = Path::new(&tools).join("py/bin/python");
    assert!(python.exists(), "{} is missing: run .ci/setup", python.display());
    python
}
