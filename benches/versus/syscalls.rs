//! System calls of a server, counted by strace, which makes it slow: in a run of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

/// How long strace may take to take hold of every thread.
const ATTACH_SECS: u64 = 10;

/// Calls, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(pub BTreeMap<String, u64>);

impl Calls {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Reads strace's table: share, seconds, microseconds per call, calls, perhaps errors, name.
    fn read(table: &str) -> Calls {
        let row = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = *words.last()?;
            let calls = words.get(3)?.parse().ok()?;
            (name != "total").then(|| (name.to_owned(), calls))
        };
        Calls(table.lines().filter_map(row).collect())
    }
}

/// strace, holding on to a process.
pub struct Strace {
    child: Child,
    table: NamedTempFile,
}

impl Strace {
    /// Takes hold of every thread of the process `pid`.
    ///
    /// # Errors
    /// If strace is not there or may not.
    pub fn attach(pid: u32) -> io::Result<Strace> {
        let table = NamedTempFile::new()?;
        let mut said = tempfile::tempfile()?;
        let mut command = Command::new("strace");
        command.args(["-c", "-f", "-o"]).arg(table.path()).args(["-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.try_clone()?);
        let child = command.spawn().map_err(|error| io::Error::other(format!("strace: {error}")))?;
        let mut strace = Strace { child, table };
        let started = Instant::now();
        while !is_traced(pid)? {
            let is_over = started.elapsed().as_secs() >= ATTACH_SECS;
            if is_over || strace.child.try_wait()?.is_some() {
                let mut why = String::new();
                let _ = said.rewind().and_then(|()| said.read_to_string(&mut why));
                return Err(io::Error::other(format!("strace could not attach: {}", why.trim())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(strace)
    }

    /// Lets go and counts.
    pub fn finish(mut self) -> io::Result<Calls> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT)?;
        self.child.wait()?;
        Ok(Calls::read(&fs::read_to_string(self.table.path())?))
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether each thread of a process is traced.
fn is_traced(pid: u32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_none_or(|pid| pid.trim() == "0") {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 51.02    0.000050           5        10           recvfrom
 48.98    0.000048           4        11         1 sendto
  0.00    0.000000           0         1           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.000098           4        22         1 total
";
        let calls = Calls::read(table);
        assert_eq!(calls.total(), 22);
        assert_eq!(calls.0["sendto"], 11);
        assert_eq!(Calls::read("").total(), 0);
    }
}
