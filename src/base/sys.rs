//! What the daemon asks the system about itself, and the allocator to do for it.

use std::time::Duration;

use nix::sys::resource::{RLIM_INFINITY, Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

/// CPU time that this process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// In its own code.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl CpuTime {
    /// Reads it; zero if the system does not tell.
    pub fn read() -> CpuTime {
        let microseconds = |time: nix::sys::time::TimeVal| {
            Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default())
        };
        getrusage(UsageWho::RUSAGE_SELF).map_or_else(
            |_| CpuTime::default(),
            |usage| CpuTime {
                user: microseconds(usage.user_time()),
                system: microseconds(usage.system_time()),
            },
        )
    }
}

/// Whether the system refuses memory beyond what it can keep its promise of (`vm.overcommit_memory=2`).
pub fn memory_is_counted() -> bool {
    std::fs::read("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.starts_with(b"2"))
}

/// Whether the address space of this process has a limit now (`ulimit -v`). `true` if that is not known.
pub fn address_space_is_limited() -> bool {
    getrlimit(Resource::RLIMIT_AS).map_or(true, |(limit, _)| limit != RLIM_INFINITY)
}

/// Whether the system would give `bytes` of memory now. None of it is used.
pub fn has_memory(bytes: usize) -> bool {
    memmap2::MmapMut::map_anon(bytes).is_ok()
}

/// Lets a thread of the allocator's own give memory that is free for some seconds back to the system, also
/// while nobody allocates. To be called once, after the process has gone to the background: threads do not
/// survive that. `false` if the allocator refuses.
#[cfg(feature = "jemalloc")]
pub fn return_free_memory() -> bool {
    use tikv_jemalloc_ctl::{background_thread, max_background_threads};
    // One is enough for pages that come back in slices.
    max_background_threads::write(1).and_then(|()| background_thread::write(true)).is_ok()
}

/// Without jemalloc: the system's allocator decides what it gives back. Always `true`.
#[cfg(not(feature = "jemalloc"))]
pub fn return_free_memory() -> bool {
    true
}
