//! Which processors the server and the load have for themselves.

use std::fs;
use std::io;
use std::thread;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Server threads beyond which the default does not go.
const THREADS_MAX: usize = 4;

/// Processors of the server and of the load, apart where there are several.
#[derive(Debug)]
pub struct Cores {
    /// Of the server; all that there are, if there is only one.
    pub server: Vec<usize>,
    /// Of the load.
    pub load: Vec<usize>,
    /// What was done, for people.
    pub description: String,
}

impl Cores {
    /// Splits the processors that this process may use.
    pub fn split() -> io::Result<Cores> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let processors: Vec<usize> =
            (0..CpuSet::count()).filter(|&index| allowed.is_set(index).unwrap_or(false)).collect();
        Ok(Cores::of(&cores(&processors, siblings)))
    }

    /// Splits these cores, each with its processors.
    fn of(cores: &[Vec<usize>]) -> Cores {
        let all = cores.concat();
        if all.len() < 2 {
            let description = "1 processor: server and load share it, so figures are of both".to_owned();
            return Cores { server: all.clone(), load: all, description };
        }
        // Half each, the load the odd one: it does as much for a request as the server, and checks it.
        let (server, load, remark) = match cores {
            [one] => {
                let (server, load) = one.split_at(one.len() / 2);
                (server.to_vec(), load.to_vec(), " (of one core: they slow each other down)")
            }
            several => {
                let (server, load) = several.split_at(several.len() / 2);
                let remark = if all.len() == 2 {
                    " (two in all: whatever else runs, runs on these; more cores measure more steadily)"
                } else {
                    ""
                };
                (server.concat(), load.concat(), remark)
            }
        };
        let description = format!("server on processors {server:?}, load on {load:?}{remark}");
        Cores { server, load, description }
    }

    /// Threads for a server.
    pub fn server_threads(&self) -> usize {
        self.server.len().min(THREADS_MAX)
    }

    /// Threads for the load.
    pub fn load_threads(&self) -> usize {
        self.load.len().min(THREADS_MAX)
    }

    /// Keeps the calling thread on the load's processors.
    pub fn pin_load(&self) -> io::Result<()> {
        pin(&self.load)
    }

    /// Calls `start` where the server belongs: the processes that it starts inherit it.
    pub fn on_server<T: Send>(&self, start: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let starter = scope.spawn(|| {
                pin(&self.server)?;
                start()
            });
            starter.join().expect("no panic")
        })
    }
}

fn pin(processors: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    processors.iter().try_for_each(|&processor| set.set(processor))?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// `processors` by core, as `siblings` tells which belong together.
fn cores(processors: &[usize], siblings: impl Fn(usize) -> String) -> Vec<Vec<usize>> {
    let mut cores: Vec<(String, Vec<usize>)> = Vec::new();
    for &processor in processors {
        let core = siblings(processor);
        match cores.iter_mut().find(|(name, _)| *name == core) {
            Some((_, processors)) => processors.push(processor),
            None => cores.push((core, vec![processor])),
        }
    }
    cores.into_iter().map(|(_, processors)| processors).collect()
}

/// The processors of the same core, as the system writes them; of a system that does not, each is its own.
fn siblings(processor: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    fs::read_to_string(path).unwrap_or_else(|_| processor.to_string())
}

#[cfg(test)]
#[allow(unused, reason = "a benchmark without a harness has no tests")]
mod tests {
    use super::*;

    fn check(processors: &[usize], siblings: fn(usize) -> String, server: &[usize], load: &[usize]) {
        let split = Cores::of(&cores(processors, siblings));
        assert_eq!((&split.server[..], &split.load[..]), (server, load), "{}", split.description);
    }

    #[test]
    fn server_and_load_have_cores_of_their_own() {
        check(&[0], |cpu| cpu.to_string(), &[0], &[0]);
        check(&[0, 1], |cpu| cpu.to_string(), &[0], &[1]);
        check(&[2, 3, 5], |cpu| cpu.to_string(), &[2], &[3, 5]);
        // Two processors to a core, beside each other or apart.
        check(&[0, 1], |_| "0-1".to_owned(), &[0], &[1]);
        check(&[0, 1, 2, 3], |cpu| (cpu / 2).to_string(), &[0, 1], &[2, 3]);
        check(&[0, 1, 2, 3], |cpu| (cpu % 2).to_string(), &[0, 2], &[1, 3]);
    }
}
