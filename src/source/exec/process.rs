//! A running command: a process group of its own, its pipes, and its end.
//!
//! Belongs to the source's thread. The group's id is that of the command's process, and stays taken while that process
//! has not been waited for or any other process is in the group; once both are over, nothing is sent to it any more.

use super::stderr::Stderr;
use nix::errno::Errno;
use nix::sys::signal::{killpg, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{waitid, Id, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_millis(200);

pub(super) struct Process {
    pub stdout: ChildStdout,
    pub since: Instant,
    child: Child,
    group: Pid,
    status: Option<ExitStatus>,
    /// Nobody is left in the group.
    is_gone: bool,
    stderr: Option<Stderr>,
}

impl Process {
    /// Starts a command: no input, none of the agent's descriptors, no signal blocked or ignored because of the agent.
    pub fn start(command: &[String], source: &str, log_stderr: bool) -> io::Result<Process> {
        let (program, args) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (errors, stderr) = io::pipe()?;
        // Before the command, so that there is none to be taken back when this fails.
        let errors = Stderr::read(errors, source, log_stderr)?;
        let mut command = Command::new(program);
        command.args(args).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        // The command has this thread's mask, which may come from who started the agent: SIGTERM has to get through.
        // (std sees to SIGPIPE and the descriptors.)
        let mask = SigSet::empty().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let child = command.spawn();
        let _ = mask.thread_set_mask();
        let mut child = child?;
        let stdout = child.stdout.take().expect("it is piped");
        let group = Pid::from_raw(i32::try_from(child.id()).expect("an id is a pid_t"));
        let since = Instant::now();
        Ok(Process { stdout, since, child, group, status: None, is_gone: false, stderr: Some(errors) })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the whole group.
    pub fn signal(&mut self, signal: Signal) {
        if !self.is_gone() {
            let _ = killpg(self.group, signal);
        }
    }

    /// Whether the command's own process has ended. It is not waited for: while others may be in its group, its id is
    /// what the group is known by.
    pub fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.status.is_some()
            || !matches!(waitid(Id::Pid(self.group), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }

    /// How the command's own process ended; waits for it, so that it is no zombie.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            // An error: the agent was started with SIGCHLD ignored, then nobody hears how its children end.
            self.status = self.child.try_wait().unwrap_or_else(|_| Some(ExitStatus::default()));
        }
        self.status
    }

    /// Whether the whole group has ended.
    pub fn is_gone(&mut self) -> bool {
        if !self.is_gone && self.status().is_some() {
            // As process 1 of a container the agent inherits the orphans of the group.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
            while matches!(waitid(Id::PGid(self.group), flags), Ok(s) if s != WaitStatus::StillAlive) {}
            self.is_gone = killpg(self.group, None) == Err(Errno::ESRCH);
        }
        self.is_gone
    }

    /// Waits for the end of the whole group.
    pub fn wait_gone(&mut self, most: Duration) -> bool {
        let until = Instant::now() + most;
        while !self.is_gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.is_gone
    }

    /// The last line of its standard error. To be asked once, when it has ended.
    pub fn last_words(&mut self) -> String {
        self.stderr.take().map_or(String::new(), Stderr::finish)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.wait_gone(GONE);
        if self.status().is_none() {
            log::error!("process {} does not end although it was killed", self.group);
        }
        self.last_words();
    }
}
