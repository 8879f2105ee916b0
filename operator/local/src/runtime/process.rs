//! Child processes that cannot outlive this one.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::sync::mpsc;
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts processes from one thread that lives as long as this value: the kernel kills a child when the *thread* that
/// started it ends (`PR_SET_PDEATHSIG`, prctl(2)), and the threads of the runtime come and go.
#[derive(Debug)]
pub(crate) struct Launcher {
    requests: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

impl Launcher {
    /// Starts the thread. Must be called within a runtime.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        let (requests, incoming) = mpsc::channel::<Request>();
        let runtime = Handle::current();
        thread::Builder::new().name("launcher".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            for mut request in incoming {
                // Whoever asked may have gone: then the child is killed when it is dropped.
                let _ = request.reply.send(request.command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a command in a process group of its own; it is killed when the returned value is dropped, or when this process ends in whatever way.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) async fn spawn(&self, mut command: std::process::Command) -> io::Result<Child> {
        bind_to_parent(&mut command);
        command.process_group(0);
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { command, reply }).map_err(io::Error::other)?;
        answer.await.map_err(io::Error::other)?
    }
}

/// A signal that pods get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    /// End soon.
    Terminate,
    /// End now.
    Kill,
}

/// Sends a signal to a child's whole process group; nothing happens when it has been reaped.
pub(crate) fn send(signal: Signal, child: &Child) {
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
    };
    kill_group(group, number);
}

#[expect(unsafe_code, reason = "std cannot signal a process group")]
fn kill_group(group: i32, signal: i32) {
    // SAFETY: kill(2) takes two numbers and touches no memory of ours. The group is that of a child which has not been reaped, so its number belongs to nobody else.
    unsafe { libc::kill(-group, signal) };
}

#[expect(unsafe_code, reason = "std cannot ask the kernel to end a child with its parent")]
fn bind_to_parent(command: &mut std::process::Command) {
    let parent = std::process::id();
    let before_exec = move || {
        if !set_death_signal() || parent_id() != parent {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes two system calls; it neither allocates nor locks.
    unsafe { command.pre_exec(before_exec) };
}

#[expect(unsafe_code, reason = "prctl has no safe wrapper in std")]
fn set_death_signal() -> bool {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 }
}

/// The parent's id: it differs from the remembered one when the parent died before the line above took effect.
fn parent_id() -> u32 {
    std::os::unix::process::parent_id()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sleeping() -> std::process::Command {
        let mut command = std::process::Command::new("sleep");
        command.arg("60");
        command
    }

    #[tokio::test]
    async fn a_signal_reaches_the_whole_group() {
        let launcher = Launcher::start().unwrap();
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]);
        let mut child = launcher.spawn(command).await.unwrap();
        let group = child.id().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(living_members(group).len(), 2);
        send(Signal::Kill, &child);
        child.wait().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(living_members(group).is_empty(), "the shell's child is gone too");
    }

    /// Processes of a group that are not merely waiting to be reaped.
    fn living_members(group: u32) -> Vec<String> {
        let stats = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
        let lives_in_group = |stat: &String| {
            let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
            fields[2] == group.to_string() && fields[0] != "Z"
        };
        stats.filter(lives_in_group).collect()
    }

    #[tokio::test]
    async fn children_end_with_the_thread_that_started_them() {
        let launcher = Launcher::start().unwrap();
        let mut child = launcher.spawn(sleeping()).await.unwrap();
        drop(launcher);
        let status =
            tokio::time::timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
        assert!(!status.success());
    }
}
