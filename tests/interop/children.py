"""Waits and child processes of the interoperability runs: every wait has a deadline, children end by their id."""
import contextlib, subprocess, time

DEADLINE = 30


def wait(what, ready):
    """Until `ready` gives something true."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        got = ready()
        if got:
            return got
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {DEADLINE} s")


def stop(process):
    """Asks it to end, then makes it; gives its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


@contextlib.contextmanager
def child(*command, **how):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **how)
    try:
        yield process
    finally:
        stop(process)
