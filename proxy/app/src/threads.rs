//! How many threads the data path gets.

use std::{fs, num::NonZeroUsize, path::Path};

/// When neither the user nor the cgroup says anything.
const DEFAULT: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// The CPU limit of the cgroup, rounded up, else 2; at most what the process may run on. Never the node's cores:
/// a proxy without a limit shares its node.
pub(crate) fn default() -> NonZeroUsize {
    let limit = limit_of(Path::new("/sys/fs/cgroup"));
    let usable = std::thread::available_parallelism().unwrap_or(DEFAULT);
    limit.map_or(DEFAULT, |limit| limit.min(usable))
}

/// Reads cgroup v2, then v1.
fn limit_of(cgroup: &Path) -> Option<NonZeroUsize> {
    let read = |file: &str| fs::read_to_string(cgroup.join(file)).ok();
    if let Some(text) = read("cpu.max") {
        let mut words = text.split_whitespace();
        return cores(words.next()?, words.next()?);
    }
    cores(read("cpu/cpu.cfs_quota_us")?.trim(), read("cpu/cpu.cfs_period_us")?.trim())
}

/// "max" and negative quotas mean no limit.
fn cores(quota: &str, period: &str) -> Option<NonZeroUsize> {
    let (quota, period): (usize, usize) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period)).and_then(NonZeroUsize::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_rounded_up() {
        let cases = [
            ("cpu.max", "150000 100000\n", Some(2)),
            ("cpu.max", "100000 100000\n", Some(1)),
            ("cpu.max", "5000 100000\n", Some(1)),
            ("cpu.max", "max 100000\n", None),
            ("cpu.max", "", None),
            ("other", "", None),
        ];
        for (file, text, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), text).unwrap();
            let limit = limit_of(dir.path()).map(NonZeroUsize::get);
            assert_eq!(limit, expected, "{file} {text:?}");
        }
    }

    #[test]
    fn the_older_cgroups_are_read_too() {
        for (quota, expected) in [("350000\n", Some(4)), ("-1\n", None)] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("cpu")).unwrap();
            fs::write(dir.path().join("cpu/cpu.cfs_quota_us"), quota).unwrap();
            fs::write(dir.path().join("cpu/cpu.cfs_period_us"), "100000\n").unwrap();
            assert_eq!(limit_of(dir.path()).map(NonZeroUsize::get), expected);
        }
    }
}
