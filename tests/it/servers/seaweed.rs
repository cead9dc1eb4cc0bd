//! S3 servers: SeaweedFS, which keeps the protocol, and rclone, which ignores `If-None-Match`.

#![expect(clippy::unwrap_used, reason = "a test server that does not start fails its test")]

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use runner::store::s3::S3Store;
use runner::store::spec::S3Spec;
use runner::store::{ObjectStore as _, PutOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::ports;

pub(crate) const BUCKET: &str = "backups";
pub(crate) const ACCESS_KEY: &str = "tester";
pub(crate) const SECRET_KEY: &str = "tester-secret-key";

/// A running S3 server; dropped, its process group is killed.
pub(crate) struct S3Server {
    child: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl S3Server {
    /// Starts SeaweedFS with the bucket [`BUCKET`] and waits until it answers. Ports may be taken by others between their choice and
    /// their use, so a server that dies is started again.
    pub(crate) fn seaweed() -> Self {
        (0..5).find_map(|_| start_seaweed()).expect("SeaweedFS did not start five times in a row")
    }

    /// Starts `rclone serve s3` over a folder with the bucket [`BUCKET`].
    pub(crate) fn rclone() -> Self {
        (0..5).find_map(|_| start_rclone()).expect("rclone did not start five times in a row")
    }

    /// The folder in which rclone keeps a bucket's objects as files.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn wait(mut self, ready: impl Fn(&S3Server) -> bool) -> Option<Self> {
        let until = Instant::now() + Duration::from_secs(40);
        while Instant::now() < until {
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            if ready(&self) {
                return Some(self);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _reaped = self.child.wait();
    }
}

fn start_seaweed() -> Option<S3Server> {
    let folder = TempDir::new().unwrap();
    let ports = ports::free(14);
    let mut weed = command("weed");
    weed.arg("mini").arg(format!("-dir={}", folder.path().display()));
    weed.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false", "-admin.ui=false"]);
    weed.args(["-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64"]);
    weed.arg(format!("-bucket={BUCKET}"));
    for (name, port) in PORTS.iter().zip(&ports) {
        weed.arg(format!("-{name}={port}"));
    }
    weed.arg(format!("-s3.localSocket={}", folder.path().join("s3.sock").display()));
    weed.arg(format!("-filer.localSocket={}", folder.path().join("filer.sock").display()));
    weed.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY).current_dir(folder.path());
    start(weed, ports[0], folder).wait(is_ready)
}

const PORTS: [&str; 13] = [
    "s3.port",
    "s3.port.grpc",
    "s3.port.https",
    "master.port",
    "master.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "filer.port.public",
    "volume.port",
    "volume.port.grpc",
    "volume.port.public",
    "admin.port",
    "admin.port.grpc",
];

fn start_rclone() -> Option<S3Server> {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join(BUCKET)).unwrap();
    let port = ports::one();
    let mut rclone = command("rclone");
    rclone.args(["serve", "s3", "--config", "/dev/null", "--addr", &format!("127.0.0.1:{port}")]);
    rclone.args(["--auth-key", &format!("{ACCESS_KEY},{SECRET_KEY}"), "--vfs-cache-mode", "off"]).arg(folder.path());
    start(rclone, port, folder).wait(|server| TcpStream::connect(server.address).is_ok())
}

/// The tool, started in a process group of its own that ends with the thread that started it.
fn command(tool: &str) -> Command {
    let tools = std::env::var_os("RUNNER_TEST_TOOLS").map_or_else(|| PathBuf::from("/var/cache/runner-tools"), PathBuf::from);
    let path = tools.join("bin").join(tool);
    assert!(path.exists(), "{} is not there: run the setup script that installs the test tools, or set RUNNER_TEST_TOOLS", path.display());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(path).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn start(mut command: Command, port: u16, folder: TempDir) -> S3Server {
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let child = command.stderr(log).spawn().expect("setpriv (Debian: util-linux) and the server must start");
    S3Server { child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), folder }
}

/// Whether the server writes and deletes: its bucket is made after its port is open, and the locks behind create-only writes settle
/// with the first write (seen once: two winners of a race in the first second of a server).
fn is_ready(server: &S3Server) -> bool {
    if TcpStream::connect(server.address).is_err() {
        return false;
    }
    let client = Client::new();
    let store = client.store(&spec(&server.endpoint()));
    store.reach().is_ok() && store.put_bytes("ready", b"x", &PutOptions::default()).is_ok() && store.delete("ready").is_ok()
}

/// The options of a store on a server.
pub(crate) fn spec(endpoint: &str) -> S3Spec {
    let json =
        serde_json::json!({ "bucket": BUCKET, "prefix": "팀/백업", "endpoint": endpoint, "path_style": true, "region": "ap-northeast-2" });
    serde_json::from_value(json).unwrap()
}

/// The runtime that the requests of a test's stores run on.
pub(crate) struct Client {
    pub(crate) runtime: Runtime,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self { runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap() }
    }

    /// A store with the credentials of the servers here.
    pub(crate) fn store(&self, spec: &S3Spec) -> S3Store {
        self.store_as(spec, ACCESS_KEY, SECRET_KEY)
    }

    /// The SDK's own client, to look at what a store does not show.
    pub(crate) fn raw(server: &S3Server) -> aws_sdk_s3::Client {
        use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let config = aws_sdk_s3::Config::builder().behavior_version(aws_sdk_s3::config::BehaviorVersion::latest()).http_client(http);
        let config = config.region(aws_sdk_s3::config::Region::new("ap-northeast-2")).force_path_style(true);
        let config = config.credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"));
        aws_sdk_s3::Client::from_conf(config.endpoint_url(server.endpoint()).build())
    }

    pub(crate) fn store_as(&self, spec: &S3Spec, access: &str, secret: &str) -> S3Store {
        let credentials = SharedCredentialsProvider::new(Credentials::new(access, secret, None, None, "test"));
        S3Store::open_with(spec, credentials, self.runtime.handle()).unwrap()
    }
}
