//! `cargo xtask bench registry`: many clients at once that pull a whole release, from our registry and from Debian's
//! `docker-registry`, in the same run, from the same disk, by the same client (curl).
//!
//! Loopback has no network in it: what is compared is what a byte costs each server, and whether anything breaks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::payload::Payload;
use super::{programs, remove};
use crate::step::{Failed, Step, target};

const SIZE: u64 = 2048;
const CLIENTS: usize = 64;
const ROUNDS: usize = 1;
const USAGE: &str = "bench registry [MIB] [CLIENTS] [ROUNDS]";

/// What a server took for one round.
#[derive(Debug, Clone, Copy)]
struct Round {
    gigabytes_per_second: f64,
    cpu_seconds_per_gigabyte: f64,
}

pub(super) fn run(arguments: &[&str]) -> Result<(), Failed> {
    let number = |at: usize, unless: u64| match arguments.get(at) {
        Some(text) => text.parse::<u64>().map_err(|_| Failed::usage(USAGE)),
        None => Ok(unless),
    };
    let (size, clients, rounds) = (number(0, SIZE)?, number(1, CLIENTS as u64)?, number(2, ROUNDS as u64)?.max(1));
    Step::cargo(["build", "--release", "-p", "consign-bundler", "-p", "consign-installer", "--bins"]).run()?;
    let folder = target().join("bench");
    let payload = Payload::make(&folder, size, &programs())?;
    let site = folder.join("site-registry");
    if !site.is_dir() {
        payload.enrol(&programs(), &site)?;
        Step::new(programs().join("consign-site"), payload.install_arguments(&site)).run()?;
    }
    let paths = blobs(&payload.layout())?;
    let mut servers = vec![
        Server::ours(&site, "consign-site", &["--plain-http"])?,
        Server::ours(&site, "consign-site, TLS", &[])?,
        Server::docker(&folder, &payload.layout())?,
    ];
    let mut taken = vec![Vec::new(); servers.len()];
    for round in 1..=rounds {
        println!("round {round} of {rounds}: {clients} clients, {size} MiB each");
        for (server, taken) in servers.iter().zip(&mut taken) {
            taken.push(server.pull(&paths, clients)?);
        }
    }
    println!("\n{:20} {:>10} {:>14} {:>12}", "", "GB/s", "CPU s per GB", "peak MiB");
    for (server, rounds) in servers.iter_mut().zip(&taken) {
        let middle = |figure: fn(&Round) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let (speed, cpu) = (middle(|round| round.gigabytes_per_second), middle(|round| round.cpu_seconds_per_gigabyte));
        println!("{:20} {speed:>10.2} {cpu:>14.2} {:>12}", server.name, server.peak_mib()?);
    }
    drop(servers);
    remove(&site)
}

/// The paths of a client that pulls everything: manifest, config, layers; without the server's address.
fn blobs(layout: &Path) -> Result<Vec<String>, Failed> {
    let read = |path: &Path| -> Result<Value, Failed> {
        let bytes = fs::read(path).map_err(|error| Failed::new(format!("cannot read {}: {error}", path.display())))?;
        serde_json::from_slice(&bytes).map_err(|error| Failed::new(format!("{}: {error}", path.display())))
    };
    let digest = |value: &Value| value["digest"].as_str().unwrap_or_default().to_owned();
    let manifest = digest(&read(&layout.join("index.json"))?["manifests"][0]);
    let file = layout.join("blobs/sha256").join(manifest.trim_start_matches("sha256:"));
    let content = read(&file)?;
    let layers = content["layers"].as_array().cloned().unwrap_or_default();
    let blobs = std::iter::once(&content["config"]).chain(&layers).map(digest);
    let mut paths = vec![format!("/v2/bench.example/payload/manifests/{manifest}")];
    paths.extend(blobs.map(|digest| format!("/v2/bench.example/payload/blobs/{digest}")));
    Ok(paths)
}

/// A registry under load. Dropping it ends its process.
struct Server {
    name: &'static str,
    child: Child,
    url: String,
    authority: Option<PathBuf>,
}

impl Server {
    fn ours(site: &Path, name: &'static str, more: &[&str]) -> Result<Server, Failed> {
        let mut command = Command::new(programs().join("consign-site"));
        command.arg("--root-dir").arg(site).args(["serve", "--listen", "127.0.0.1:0"]).args(more);
        let mut child = spawned(command.stdout(Stdio::piped()))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let url = line.trim().rsplit_once(' ').map(|(_, url)| url.to_owned()).unwrap_or_default();
        Ok(Server { name, child, url, authority: more.is_empty().then(|| site.join("etc/consign/ca.crt")) })
    }

    /// Debian's, over its usual storage, filled by skopeo.
    fn docker(folder: &Path, layout: &Path) -> Result<Server, Failed> {
        let (storage, config) = (folder.join("docker-registry"), folder.join("docker-registry.yml"));
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        fs::write(&config, text).map_err(|error| Failed::new(format!("{}: {error}", config.display())))?;
        let mut command = Command::new("docker-registry");
        let mut child = spawned(command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped()))?;
        let (tell, told) = std::sync::mpsc::channel();
        if let Some(log) = child.stderr.take() {
            // Read to its end, or the registry would wait for somebody who does.
            std::thread::spawn(move || {
                for line in BufReader::new(log).lines().map_while(Result::ok) {
                    if let Some((_, rest)) = line.split_once("listening on ") {
                        let _ = tell.send(rest.split(['"', ',']).next().unwrap_or_default().trim().to_owned());
                    }
                }
            });
        }
        let address = told.recv().map_err(|_| Failed::new("docker-registry did not start"))?;
        let server = Server { name: "docker-registry", child, url: format!("http://{address}"), authority: None };
        let from = format!("oci:{}:1", layout.display());
        let to = format!("docker://{address}/bench.example/payload:1");
        Step::new("skopeo", ["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false", &from, &to]).run()?;
        Ok(server)
    }

    /// Lets all clients pull everything at once. One that gets another status than 200, or too little, ends the bench.
    fn pull(&self, paths: &[String], clients: u64) -> Result<Round, Failed> {
        let (cpu, begun) = (self.cpu_seconds()?, Instant::now());
        let curls = (0..clients).map(|_| self.curl(paths)).collect::<Result<Vec<_>, _>>()?;
        let mut bytes = 0;
        for curl in curls {
            let output = curl.wait_with_output().map_err(|error| Failed::new(format!("curl: {error}")))?;
            let text = String::from_utf8_lossy(&output.stdout);
            let answers: Vec<(&str, u64)> = text
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(s, n)| (s, n.parse().unwrap_or(0)))
                .collect();
            if !output.status.success() || answers.len() != paths.len() || answers.iter().any(|(s, _)| *s != "200") {
                return Err(Failed::new(format!("{}: a client was not served: {text}", self.name)));
            }
            bytes += answers.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        let (seconds, gigabytes) = (begun.elapsed().as_secs_f64(), bytes as f64 / 1e9);
        let cpu_seconds_per_gigabyte = (self.cpu_seconds()? - cpu) / gigabytes;
        Ok(Round { gigabytes_per_second: gigabytes / seconds, cpu_seconds_per_gigabyte })
    }

    fn curl(&self, paths: &[String]) -> Result<Child, Failed> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--fail", "--write-out", "%{http_code} %{size_download}\n"]);
        command.args(["--header", "Accept: application/vnd.oci.image.manifest.v1+json"]);
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority);
        }
        for path in paths {
            command.args(["--output", "/dev/null"]).arg(format!("{}{path}", self.url));
        }
        spawned(command.stdout(Stdio::piped()))
    }

    /// User and system time so far (proc(5), fields 14 and 15, in hundredths of a second on every Linux there is).
    fn cpu_seconds(&self) -> Result<f64, Failed> {
        let stat = self.proc("stat")?;
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / 100.0)
    }

    fn peak_mib(&self) -> Result<u64, Failed> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib / 1024).ok_or_else(|| Failed::new("the kernel tells no peak of memory"))
    }

    fn proc(&self, file: &str) -> Result<String, Failed> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).map_err(|error| Failed::new(format!("{} ended: {path}: {error}", self.name)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawned(command: &mut Command) -> Result<Child, Failed> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).spawn().map_err(|error| Failed::new(format!("cannot run {program}: {error}")))
}
