//! Waits on pipes that a change of the `Stop` cuts short.
//!
//! Belongs to the source's thread; who changes the `Stop` writes one byte into a pipe.

use crate::lifecycle::Stop;
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// After an error of the system call, which no pipe can be the reason of.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// Hears of every change of a `Stop`.
pub(super) struct Alarm {
    pipe: PipeReader,
    /// Here and not with the hearer: that one stays for as long as the `Stop`, the descriptor must not.
    _writer: Arc<PipeWriter>,
    is_raised: bool,
}

impl Alarm {
    pub fn new(stop: &Stop) -> io::Result<Alarm> {
        let (reader, writer) = io::pipe()?;
        // A pipe that is full, or that nobody reads any more, is no harm: there are few changes.
        let writer = Arc::new(writer);
        let heard_by = Arc::downgrade(&writer);
        stop.on_change(move || {
            if let Some(writer) = heard_by.upgrade() {
                let _ = (&*writer).write(&[0]);
            }
        });
        Ok(Alarm { pipe: reader, _writer: writer, is_raised: false })
    }

    /// Until there is something to read, or its end, or a change, or the time is over. Whether a read would not block.
    /// A change that came together with something to read is not waited past.
    pub fn wait(&mut self, pipe: Option<BorrowedFd<'_>>, most: Duration) -> bool {
        let most = if self.is_raised { Duration::ZERO } else { most };
        let mut ready = [false; 2];
        match pipe {
            Some(pipe) => ready = readable([self.pipe.as_fd(), pipe], most),
            None => ready[0] = readable([self.pipe.as_fd()], most)[0],
        }
        if ready[0] {
            let _ = self.pipe.read(&mut [0; 16]);
            self.is_raised = true;
        }
        ready[1]
    }

    /// Whether there was a change since this was asked last.
    pub fn take_raised(&mut self) -> bool {
        std::mem::take(&mut self.is_raised)
    }
}

/// Which of the pipes can be read without blocking, at the latest after `most`.
pub(super) fn readable<const N: usize>(pipes: [BorrowedFd<'_>; N], most: Duration) -> [bool; N] {
    let mut fds = pipes.map(|p| PollFd::new(p, PollFlags::POLLIN));
    // Rounded up, so that a wait is not over a moment too early.
    let millis = i32::try_from(most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
        Ok(_) => fds.map(|f| f.any().unwrap_or(true)),
        Err(Errno::EINTR) => [false; N],
        Err(_) => {
            std::thread::sleep(AFTER_ERROR);
            [false; N]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn the_stop_keeps_no_descriptor_of_an_alarm_that_is_gone() {
        let stop = Stop::default();
        let alarm = Alarm::new(&stop).unwrap();
        let mut pipe = alarm.pipe.try_clone().unwrap();
        drop(alarm);
        assert_eq!(readable([pipe.as_fd()], Duration::from_secs(60)), [true]);
        assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
        stop.drain();
    }

    #[test]
    fn a_change_is_not_forgotten_over_something_to_read() {
        let stop = Stop::default();
        let mut alarm = Alarm::new(&stop).unwrap();
        let (mut output, mut command) = io::pipe().unwrap();
        command.write_all(b"x").unwrap();
        stop.drain();
        assert!(alarm.wait(Some(output.as_fd()), Duration::from_secs(60)));
        output.read_exact(&mut [0]).unwrap();
        let began = Instant::now();
        assert!(!alarm.wait(Some(output.as_fd()), Duration::from_secs(60)));
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(alarm.take_raised() && !alarm.take_raised());
    }
}
