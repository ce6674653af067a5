//! What is mounted where for a process: which files can be looked at without another process's help.
//!
//! A file system may be served by a program of the run (FUSE), whose own calls wait for us: looking at one of its files would be waiting for ourselves.

use std::io;

/// File systems whose files can be read without a process; those that overlay others too: only mounts of our own name space, or what lies in no other, count.
const LOCAL: [&str; 11] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay", "squashfs", "erofs",
];

/// Those of which that is said of names only: what a file says may be another process's memory.
const OF_THE_KERNEL: [&str; 3] = ["proc", "sysfs", "devtmpfs"];

/// The mounts of a process (`/proc/PID/mountinfo`, proc_pid_mountinfo(5)).
pub(crate) struct Mounts(String);

impl Mounts {
    /// Those of a task, or of this process (`self`).
    pub(crate) fn of(task: &str) -> io::Result<Self> {
        std::fs::read_to_string(format!("/proc/{task}/mountinfo")).map(Self)
    }

    /// Whether files of the mount of this number (`STATX_MNT_ID`) can be read without anybody's help.
    pub(crate) fn is_local(&self, number: u64) -> bool {
        let number = number.to_string();
        let mut mounts = self.0.lines();
        mounts
            .find(|line| line.split(' ').next() == Some(number.as_str()))
            .is_some_and(|line| LOCAL.contains(&kind(line)))
    }

    /// Whether what lies at a path from the root, none of whose parts is a link, can be looked up without anybody's help.
    pub(crate) fn is_local_at(&self, path: &str) -> bool {
        const POINT: usize = 4;
        let point = |line: &&str| {
            line.split(' ')
                .nth(POINT)
                .filter(|point| lies_in(path, point))
                .map(str::len)
        };
        // Of mounts at one place the last is seen.
        let deepest = self.0.lines().filter(|line| point(line).is_some()).max_by_key(point);
        deepest.is_some_and(|line| LOCAL.contains(&kind(line)) || OF_THE_KERNEL.contains(&kind(line)))
    }
}

/// The type of the file system that a line is about.
fn kind(line: &str) -> &str {
    let behind = line.split_once(" - ").map_or("", |(_, behind)| behind);
    behind.split(' ').next().unwrap_or_default()
}

fn lies_in(path: &str, point: &str) -> bool {
    let rest = path.strip_prefix(point.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_last_mount_says_what_a_path_is_of() {
        let mounts = Mounts(
            "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /proc rw shared:3 - proc proc rw\n3 1 0:6 / /mnt rw - tmpfs none rw\n\
             4 3 0:7 / /mnt rw - fuse.sshfs host rw\n5 1 0:8 / /mnt/in rw - tmpfs none rw\n"
                .to_owned(),
        );
        for (path, is_local) in [
            ("/etc", true),
            ("/proc/net", true),
            ("/mnt", false),
            ("/mnt/deeper/still", false),
            ("/mnt/in/it", true),
            ("/mnted", true),
        ] {
            assert_eq!(mounts.is_local_at(path), is_local, "{path}");
        }
        assert!(mounts.is_local(1) && !mounts.is_local(4) && !mounts.is_local(9));
    }
}
