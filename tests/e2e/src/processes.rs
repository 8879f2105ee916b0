//! Processes of this machine, by /proc.

use std::fs;

/// One running process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    parent: i32,
    /// Program and arguments.
    pub command: Vec<String>,
}

impl Process {
    /// Whether the program's file has this name.
    pub fn is(&self, program: &str) -> bool {
        self.command.first().is_some_and(|path| path.rsplit('/').next() == Some(program))
    }

    /// Its environment, as it was at its start.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        text.split(|byte| *byte == 0)
            .filter_map(|pair| {
                String::from_utf8_lossy(pair)
                    .split_once('=')
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
            })
            .collect()
    }
}

/// Sends a signal.
///
/// # Panics
///
/// When there is no such process, or it is not ours.
pub fn signal(pid: i32, signal: i32) {
    #[expect(unsafe_code, reason = "kill(2) has no safe form in std")]
    // SAFETY: no memory is passed.
    let result = unsafe { libc::kill(pid, signal) };
    assert_eq!(result, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}

fn read(pid: i32) -> Option<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything; state and parent follow the last one.
    let mut rest = status.rsplit_once(") ")?.1.split(' ');
    let (state, parent) = (rest.next()?, rest.next()?.parse().ok()?);
    if state == "Z" {
        return None;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(Process { pid, parent, command })
}

/// All descendants of a process, without zombies.
pub fn descendants(ancestor: i32) -> Vec<Process> {
    let all: Vec<Process> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(read)
        .collect();
    let mut family = vec![ancestor];
    let mut found: Vec<Process> = Vec::new();
    while let Some(parent) = family.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            family.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Whether a process exists and is no zombie.
pub fn lives(pid: i32) -> bool {
    read(pid).is_some()
}
