//! What the daemon asks the system about itself.

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
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
