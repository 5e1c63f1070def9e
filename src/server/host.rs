//! What the system says of this process, its workers and the machine, for `/metrics`.
//!
//! All of it is read when somebody asks, from `/proc`, by the thread that answers: workers do nothing for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

use nix::unistd::{gethostname, gettid};
use procfs::process::Schedstat;
use procfs::{Current, CurrentSI, FromRead, KernelStats, Meminfo};
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;

use crate::protocol::memcached::{MetricName, Sample};

const CPU: MetricName =
    MetricName::counter("larder_worker_cpu_seconds_total", "Time that each worker was busy: on a CPU.");
const RUNNABLE: MetricName = MetricName::counter(
    "larder_worker_runnable_seconds_total",
    "Time that each worker had something to do and waited for a CPU.",
);
const HOST_CPU: MetricName = MetricName::counter(
    "larder_host_cpu_seconds_total",
    "Time of all CPUs of the machine, by what they did.",
);
const HOST_MEMORY: MetricName = MetricName::gauge("larder_host_memory_bytes", "Memory of the machine.");
const HOST_AVAILABLE: MetricName = MetricName::gauge(
    "larder_host_memory_available_bytes",
    "Memory of the machine that could be used without swapping.",
);
const HOST_SWAP: MetricName =
    MetricName::gauge("larder_host_swap_used_bytes", "Memory of the machine that is swapped out.");

/// The thread of one worker as the system knows it; 0 until that has told.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerThread(Arc<AtomicI32>);

impl WorkerThread {
    /// To be called by the worker.
    pub fn note(&self) {
        self.0.store(gettid().as_raw(), Relaxed);
    }
}

/// See the module.
pub(super) struct Host {
    process: ProcessCollector,
    name: Option<String>,
    workers: Vec<WorkerThread>,
}

impl Host {
    /// To be made before system calls are filtered: when the process has begun, and where, can only be asked before.
    pub fn new(workers: usize) -> Host {
        let workers = (0..workers).map(|_| WorkerThread::default()).collect();
        let name = gethostname().ok().and_then(|name| name.into_string().ok());
        Host { process: ProcessCollector::for_self(), name, workers }
    }

    /// The machine's own name.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// To be given to the worker with this number.
    pub fn thread(&self, worker: usize) -> WorkerThread {
        self.workers.get(worker).cloned().unwrap_or_default()
    }

    /// The figures of the process.
    pub fn process(&self) -> Vec<MetricFamily> {
        self.process.collect()
    }

    /// Those of workers and machine, as far as the system tells them.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        for (worker, id) in self.workers.iter().enumerate() {
            let path = format!("/proc/self/task/{}/schedstat", id.0.load(Relaxed));
            let Ok(times) = Schedstat::from_file(path) else { continue };
            for (of, nanoseconds) in [(CPU, times.sum_exec_runtime), (RUNNABLE, times.run_delay)] {
                let value = Duration::from_nanos(nanoseconds).as_secs_f64();
                samples.push(Sample { of, labels: vec![("worker", worker.to_string())], value });
            }
        }
        if let Ok(stats) = KernelStats::current() {
            samples.extend(cpu(&stats));
        }
        if let Ok(memory) = Meminfo::current() {
            let swapped = memory.swap_total.saturating_sub(memory.swap_free);
            let figures = [
                (HOST_MEMORY, Some(memory.mem_total)),
                (HOST_AVAILABLE, memory.mem_available),
                (HOST_SWAP, Some(swapped)),
            ];
            let known = figures.into_iter().filter_map(|(of, bytes)| Some((of, bytes?)));
            samples.extend(known.map(|(of, bytes)| Sample { of, labels: Vec::new(), value: bytes as f64 }));
        }
        samples
    }
}

fn cpu(stats: &KernelStats) -> impl Iterator<Item = Sample> {
    let time = &stats.total;
    let irq = time.irq_duration().unwrap_or_default() + time.softirq_duration().unwrap_or_default();
    let modes = [
        ("user", time.user_duration() + time.nice_duration()),
        ("system", time.system_duration() + irq),
        ("iowait", time.iowait_duration().unwrap_or_default()),
        ("steal", time.steal_duration().unwrap_or_default()),
        ("idle", time.idle_duration()),
    ];
    modes.into_iter().map(|(mode, time)| Sample {
        of: HOST_CPU,
        labels: vec![("mode", mode.to_owned())],
        value: time.as_secs_f64(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_and_the_machine_are_told_of() {
        let host = Host::new(2);
        host.thread(1).note();
        let samples = host.samples();
        let of = |name: &str| samples.iter().filter(|sample| sample.of.name == name).collect::<Vec<_>>();
        assert_eq!(of(HOST_CPU.name).len(), 5);
        assert!(of(HOST_MEMORY.name)[0].value > of(HOST_AVAILABLE.name)[0].value);
        // Not every system counts it, and a thread that there is not is left out.
        for sample in of(CPU.name) {
            assert_eq!(sample.labels[0].1, "1");
            assert!(sample.value > 0.0);
        }
    }
}
