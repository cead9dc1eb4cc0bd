//! Two hosts in one bucket for 200 rounds: two processes with state folders of their own apply, prune and resume one pipeline at nearly the
//! same time, and some of them are killed, or stand still for longer than their lease, at any moment. After each round the bucket is asked.
//!
//! What a host may do is a row of [`ROWS`]. The dice are told when a round fails; `RUNNER_STORM_SEED` throws them again.

#![expect(clippy::unwrap_used, reason = "what a test can not go on without fails it")]
#![expect(clippy::print_stdout, reason = "whoever looks into a storm that failed wants its seed and its numbers")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use runner::event::{Event, What};
use runner::ids::RunId;
use runner::store::catalog::named;
use runner::store::commit::{points, read_manifest};
use runner::store::s3::S3Store;
use runner::store::{ObjectStore as _, StoreError};
use rustix::process::{Pid, Signal, kill_process};

use crate::apply_support::{Bench, NAME, keys, shop};
use crate::servers::seaweed::{ACCESS_KEY, BUCKET, Client, S3Server, SECRET_KEY, spec};

const ROUNDS: u32 = 200;

/// As many points as the policy keeps.
const KEPT: usize = 3;

/// A holder that stands still so long has lost its lease to whoever waits for it: it holds for a second, and a quarter more.
const STANDSTILL: Duration = Duration::from_millis(2200);

/// What a host does in a round.
struct Row {
    name: &'static str,
    /// How many of all the weights are its own.
    weight: u64,
    words: &'static [&'static str],
    trouble: Trouble,
    /// The exit codes it may end with, signals as negative numbers.
    ends: &'static [i32],
    /// Whether it has committed a restore point when it ends with 0.
    commits: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Kill,
    Pause,
}

const APPLY: &[&str] = &["apply", "pipeline.yaml"];
const PRUNE: &[&str] = &["prune", "pipeline.yaml", "--yes"];
const RESUME: &[&str] = &["resume", "latest"];

const ROWS: [Row; 7] = [
    Row { name: "apply", weight: 24, words: APPLY, trouble: Trouble::None, ends: &[0], commits: true },
    Row { name: "prune", weight: 14, words: PRUNE, trouble: Trouble::None, ends: &[0], commits: false },
    Row { name: "killed apply", weight: 13, words: APPLY, trouble: Trouble::Kill, ends: &[0, -9], commits: true },
    Row { name: "killed prune", weight: 6, words: PRUNE, trouble: Trouble::Kill, ends: &[0, -9], commits: false },
    // 66: no run of this host was killed; 13: it was ruled out; 14: another is at work.
    Row { name: "resume", weight: 9, words: RESUME, trouble: Trouble::None, ends: &[0, 13, 14, 66], commits: false },
    Row { name: "killed resume", weight: 3, words: RESUME, trouble: Trouble::Kill, ends: &[0, 13, 14, 66, -9], commits: false },
    Row { name: "paused apply", weight: 2, words: APPLY, trouble: Trouble::Pause, ends: &[0, 14], commits: true },
];

fn pipeline(endpoint: &str) -> String {
    format!(
        "  cloud: {{ s3: {{ bucket: {BUCKET}, prefix: 팀/백업, endpoint: \"{endpoint}\", path_style: true, region: ap-northeast-2 }} }}
concurrency: {{ ttl: 1s, wait: 1m }}
defaults: {{ retry: {{ attempts: 1 }} }}
steps:
  - {{ id: dump, uses: dump, with: {{ connection: shop }} }}
  - {{ id: upload, uses: upload, with: {{ store: cloud, key: \"주문/{{{{ run.id }}}}.dump\" }} }}
  - {{ id: prune, uses: prune, with: {{ store: cloud, keep: {{ last: {KEPT} }}, grace: 0s, clock_skew: 0s }} }}
"
    )
}

/// Numbers that look like chance and are the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most
    }

    fn row(&mut self) -> &'static Row {
        let mut left = self.below(ROWS.iter().map(|row| row.weight).sum());
        let chosen = |row: &&Row| {
            let hit = left < row.weight;
            left = left.saturating_sub(row.weight);
            hit
        };
        ROWS.iter().find(chosen).unwrap()
    }
}

/// A process at work.
struct Doing<'b> {
    row: &'static Row,
    bench: &'b Bench,
    name: String,
    child: Child,
    began: Instant,
    /// When its run was seen to begin, where that matters.
    runs: Option<Instant>,
    /// When trouble comes.
    after: Duration,
    stopped: Option<Instant>,
    over: bool,
}

struct Done {
    row: &'static Row,
    code: i32,
    took: Duration,
    run: Option<RunId>,
    /// How long it looked, planned and waited for the lease, and how long it ran.
    halves: Option<(Duration, Duration)>,
    said: String,
}

impl<'b> Doing<'b> {
    fn start(bench: &'b Bench, row: &'static Row, name: String, after: Duration) -> Self {
        let path = |what: &str| bench.path(&format!("{what}-{name}"));
        let events = path("events");
        let mut command = bench.command(row.words);
        command.arg("--state-dir").arg(bench.path("state")).arg("--events").arg(&events);
        let said = std::fs::File::create(path("said")).unwrap();
        let child = command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        Self { row, bench, name, child, began: Instant::now(), runs: None, after, stopped: None, over: false }
    }

    /// Makes its trouble when the time has come. Answers whether it has ended.
    fn look(&mut self) -> bool {
        if self.child.try_wait().unwrap().is_some() {
            return true;
        }
        let signal = |child: &Child, signal| kill_process(Pid::from_child(child), signal).unwrap();
        match (self.row.trouble, self.stopped) {
            (Trouble::Pause, Some(since)) if since.elapsed() > STANDSTILL && !self.over => {
                signal(&self.child, Signal::CONT);
                self.over = true;
            }
            // Whoever stands still before it has the lease is in nobody's way: its time begins with its run.
            (Trouble::Pause, None) if self.runs.is_none() => {
                self.runs = self.bench.path(&format!("events-{}", self.name)).exists().then(Instant::now);
            }
            (Trouble::Kill | Trouble::Pause, None) if self.runs.unwrap_or(self.began).elapsed() >= self.after => {
                signal(&self.child, if self.row.trouble == Trouble::Kill { Signal::KILL } else { Signal::STOP });
                self.stopped = Some(Instant::now());
            }
            _ => {}
        }
        assert!(self.began.elapsed() < Duration::from_secs(90), "{} does not end", self.row.name);
        false
    }

    fn done(mut self) -> Done {
        let status = self.child.wait().unwrap();
        let read = |what: &str| std::fs::read_to_string(self.bench.path(&format!("{what}-{}", self.name))).unwrap_or_default();
        let events = read("events");
        let events: Vec<Event> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let first = events.iter().find(|event| matches!(event.what, What::RunStarted { .. }));
        let ran = events.iter().find_map(|event| if let What::RunEnded { took, .. } = &event.what { Some(*took) } else { None });
        let (took, run) = (self.began.elapsed(), first.map(|event| event.run.clone()));
        let halves = ran.map(|ran| (took.saturating_sub(ran), ran));
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
        Done { row: self.row, code, took, run, halves, said: read("said") }
    }
}

/// What the bucket has shown so far.
#[derive(Default)]
struct Seen {
    /// Every manifest that was ever there, by its run.
    manifests: BTreeMap<RunId, Vec<u8>>,
    gone: BTreeSet<RunId>,
}

impl Seen {
    /// Asks the bucket: every manifest reads, is what it was, and has what it names.
    fn ask(&mut self, store: &S3Store) {
        let listed: BTreeMap<String, u64> = store.list("").unwrap().into_iter().map(|object| (object.key, object.bytes)).collect();
        let mut live = BTreeSet::new();
        for point in points(store, &NAME.parse().unwrap()).unwrap() {
            let bytes = match store.get_bytes(&point.key, 1 << 20) {
                // The last request of a process that was killed may be carried out after its death.
                Err(StoreError::Missing { .. }) => continue,
                bytes => bytes.unwrap(),
            };
            let manifest = read_manifest(&bytes).unwrap();
            assert_eq!(manifest.run, point.run);
            for object in named(&manifest, &"cloud".parse().unwrap()) {
                assert_eq!(listed.get(&object.key), Some(&object.bytes), "{} needs {}", point.run, object.key);
            }
            assert!(!self.gone.contains(&point.run), "{} was deleted and is there again", point.run);
            let first = self.manifests.entry(point.run.clone()).or_insert_with(|| bytes.clone());
            assert_eq!(*first, bytes, "{} has another manifest than before", point.run);
            live.insert(point.run);
        }
        self.gone = self.manifests.keys().filter(|run| !live.contains(*run)).cloned().collect();
    }
}

/// Every object in the bucket that belongs to no restore point, but the marks of runs that were ruled out.
fn orphans(store: &S3Store) -> Vec<String> {
    let live: Vec<RunId> = points(store, &NAME.parse().unwrap()).unwrap().into_iter().map(|point| point.run).collect();
    let owned = |key: &String| live.iter().any(|run| key.contains(run.as_str()));
    let ruled_out = |key: &String| key.ends_with(".manifest.json") && store.head(key).unwrap().is_some_and(|found| found.bytes == 0);
    let kit = |key: &String| key.starts_with(".runner/") && !key.starts_with(&format!(".runner/{NAME}/2"));
    keys(store).into_iter().filter(|key| !owned(key) && !ruled_out(key) && !kit(key)).collect()
}

fn round<'b>(hosts: &'b [Bench], number: u32, dice: &mut Dice, usual: Duration) -> Vec<Done> {
    let mut doing: Vec<Doing<'b>> = Vec::new();
    for (host, bench) in hosts.iter().enumerate() {
        // Now this host is the first, now that one, by a little.
        let row = dice.row();
        let span = if row.trouble == Trouble::Pause { usual / 3 } else { usual * 6 / 5 };
        let after = span * u32::try_from(dice.below(1000)).unwrap() / 1000;
        doing.push(Doing::start(bench, row, format!("{number}-{host}"), after));
        std::thread::sleep(Duration::from_millis(dice.below(80)));
    }
    loop {
        // Each is looked at, whatever the others do.
        let ended: Vec<bool> = doing.iter_mut().map(Doing::look).collect();
        if ended.into_iter().all(|ended| ended) {
            break;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    doing.into_iter().map(Doing::done).collect()
}

#[test]
fn storm_of_two_hosts_commits_each_run_once_and_deletes_nothing_that_is_needed() {
    let (database, storage, client) = (shop(0), S3Server::seaweed(), Client::new());
    let hosts: Vec<Bench> = (0..2)
        .map(|_| {
            let mut bench = Bench::new();
            bench.env("AWS_ACCESS_KEY_ID", ACCESS_KEY);
            bench.env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            bench.pipeline(&database, &pipeline(&storage.endpoint()));
            bench
        })
        .collect();
    let given = std::env::var("RUNNER_STORM_SEED").ok().map(|seed| seed.parse().unwrap());
    let start = given.unwrap_or_else(|| u64::try_from(jiff::Timestamp::now().as_nanosecond() & i128::from(u64::MAX)).unwrap());
    println!("RUNNER_STORM_SEED={start}");
    let (mut dice, bucket, mut seen) = (Dice(start), client.store(&spec(&storage.endpoint())), Seen::default());
    let (mut usual, mut runs, mut ends) = (Duration::from_millis(800), BTreeSet::new(), BTreeMap::new());
    let mut halves: Vec<(Duration, Duration)> = Vec::new();
    let began = Instant::now();
    for number in 0..ROUNDS {
        let done = round(&hosts, number, &mut dice, usual);
        let mut told = format!("round {number}");
        for one in &done {
            write!(told, "\n-- {}: {} after {:?}, {:?}\n{}", one.row.name, one.code, one.took, one.run, one.said).unwrap();
        }
        seen.ask(&bucket);
        for one in done {
            assert!(one.row.ends.contains(&one.code), "{told}");
            *ends.entry((one.row.name, one.code)).or_insert(0_u32) += 1;
            if one.row.trouble == Trouble::None && one.row.commits {
                usual = (usual * 7 + one.took) / 8;
                halves.extend(one.halves);
            }
            if one.code == 0 && one.row.commits {
                assert!(seen.manifests.contains_key(one.run.as_ref().unwrap()), "{told}");
            }
            assert!(one.run.is_none_or(|run| runs.insert(run)), "a run id came twice\n{told}");
        }
    }
    println!("{ROUNDS} rounds in {:?}, {} restore points, ends: {ends:?}", began.elapsed(), seen.manifests.len());
    halves.sort_unstable();
    println!(
        "an apply in the middle: looking, planning and waiting {:?}; running {:?}",
        halves[halves.len() / 2].0,
        halves[halves.len() / 2].1
    );
    calm(&hosts[0], &bucket, &mut seen);
    let came = |row, code| ends.get(&(row, code)).copied().unwrap_or(0);
    let paused = came("paused apply", 14) + came("paused apply", 0);
    let storm = came("killed apply", -9) > 5 && paused > 0 && came("resume", 0) + came("resume", 13) > 0;
    assert!(storm, "not much of a storm: {ends:?}");
}

/// After the storm one undisturbed run clears up what is left of it, and the policy is all that counts.
fn calm(host: &Bench, store: &S3Store, seen: &mut Seen) {
    let state = host.path("state");
    let run = |words: &[&str]| host.run(&[words, &["--state-dir", state.to_str().unwrap()]].concat()).is(0, &[]);
    run(APPLY);
    seen.ask(store);
    assert_eq!(orphans(store), Vec::<String>::new());
    assert_eq!(store.sweep("", Duration::ZERO).unwrap(), Vec::<String>::new());
    // Ids tell the second of a run; the dumps of one second come in the order of their own times.
    let mut newest: Vec<_> = points(store, &NAME.parse().unwrap()).unwrap().into_iter().map(|point| point.run).collect();
    newest.sort_by_key(|run| Reverse(read_manifest(&seen.manifests[run]).unwrap().artifacts[0].started));
    run(PRUNE);
    run(PRUNE);
    seen.ask(store);
    let left: BTreeSet<RunId> = points(store, &NAME.parse().unwrap()).unwrap().into_iter().map(|point| point.run).collect();
    assert_eq!(left, newest[..KEPT].iter().cloned().collect(), "the newest stay");
    assert_eq!(orphans(store), Vec::<String>::new());
}
