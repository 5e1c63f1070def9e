//! How much memory the process may have: its control group's limit, of version 1 or 2, or else the machine's.
//!
//! A limit may be set at any level above the process's own group, and in a container the path of the group may be one
//! of the host that is not there: so all levels that can be seen are asked, and the smallest limit counts.

use std::fs;
use std::path::Path;

/// Where kernels show themselves.
const SYSTEM: &str = "/";

/// Memory in bytes that the process and all of its group may take together; `None` if the system does not tell.
pub fn memory_bytes() -> Option<u64> {
    memory_bytes_under(Path::new(SYSTEM))
}

fn memory_bytes_under(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| total(&text));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| limit(root, line));
    // Version 1 says "no limit" by a number beyond all machines.
    limits.chain(machine).min()
}

/// The line `MemTotal:  16384 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit at or above the group that a line such as `0::/a/b` or `4:memory:/a/b` names.
fn limit(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (tree, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let levels = Path::new(path.trim_start_matches('/')).ancestors();
    levels.filter_map(|level| read(&root.join(tree).join(level).join(file))).min()
}

/// A number of bytes; "max" is none.
fn read(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system with these files.
    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(memory_bytes_under(root.path()), expected, "{files:?}");
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n");

    #[test]
    fn without_a_group_it_is_the_machines() {
        check(&[], None);
        check(&[MACHINE], Some(1_024_000));
        check(&[MACHINE, ("proc/self/cgroup", "0::/\n")], Some(1_024_000));
        check(&[MACHINE, ("proc/self/cgroup", "garbage\n0:\n::\n0::/../..\n")], Some(1_024_000));
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let group = ("proc/self/cgroup", "0::/a/b\n");
        let of = |path, text| (path, text);
        check(&[MACHINE, group, of("sys/fs/cgroup/a/b/memory.max", "max\n")], Some(1_024_000));
        check(&[MACHINE, group, of("sys/fs/cgroup/a/b/memory.max", "5000\n")], Some(5000));
        let both = [of("sys/fs/cgroup/a/b/memory.max", "5000\n"), of("sys/fs/cgroup/a/memory.max", "4000\n")];
        check(&[MACHINE, group, both[0], both[1]], Some(4000));
        // The path is the host's: what the container sees is the root.
        check(&[MACHINE, group, of("sys/fs/cgroup/memory.max", "3000\n")], Some(3000));
    }

    #[test]
    fn so_does_one_of_version_1() {
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/a\n0::/\n");
        let none = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
        check(&[MACHINE, group, none], Some(1_024_000));
        let some = ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2000\n");
        check(&[MACHINE, group, some], Some(2000));
        let other = ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1\n");
        check(&[MACHINE, group, other], Some(1_024_000));
    }

    #[test]
    fn there_is_memory_here() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
