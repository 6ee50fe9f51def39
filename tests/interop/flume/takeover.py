"""What a real Flume leaves in its file channel is taken over by flumed, whole and in order, and never started over.

Each case is given the binary, a version of Flume and a directory of its own; it fails by AssertionError.
"""
import glob, os, re, shutil, subprocess

from .agents import Agent
from children import wait
import flume_channel_make as made

EVENTS = 100_000
CONF = made.CHANNEL.replace("@dir@", "{channel}") + f"""
a1.channels.c1.dataDirs = {{channel}}/data
a1.channels.c1.capacity = {EVENTS}
a1.channels.c1.transactionCapacity = 1000
a1.sources =
a1.sinks = k1
a1.sinks.k1.type = file_roll
a1.sinks.k1.sink.directory = @dir@/out
a1.sinks.k1.sink.rollInterval = 0
a1.sinks.k1.sink.batchSize = 1000
a1.sinks.k1.channel = c1
"""


def flumed_on(flumed, channel, directory):
    """flumed on the channel in `channel`, which has a directory of its own."""
    os.makedirs(directory, exist_ok=True)
    shutil.rmtree(f"{directory}/out", ignore_errors=True)
    with open(f"{directory}/given.conf", "w") as f:
        f.write(CONF.format(channel=channel))
    return Agent(flumed, "", f"{directory}/given.conf", directory, lambda _: None)


def says(agent, pattern):
    """What of the log is so; waits for it."""
    def said():
        return agent.said().decode(errors="replace")
    try:
        return wait(f"{agent.name} to say '{pattern}'", lambda: re.search(pattern, said()))
    except AssertionError as e:
        raise AssertionError(f"{e}; the log ends {said()[-2000:]}") from e


def does_not_start(flumed, channel, directory, why):
    """The channel does not start, and says why; nothing is delivered."""
    agent = flumed_on(flumed, channel, directory)
    try:
        agent.started()
        found = says(agent, "channel c1: .*" + why)
        assert not agent.events("out"), f"delivered {len(agent.events('out'))} events all the same"
        agent.stop()
        return found
    finally:
        agent.close()


def imports(flumed, directory, code, text):
    ran = subprocess.run([flumed, "tool", "channel", "import", "-n", "a1", "-f", f"{directory}/agent.conf", "--channel",
                          "c1"], cwd=directory, capture_output=True, text=True)
    said = ran.stdout + ran.stderr
    assert ran.returncode == code and text in said, f"import ended with {ran.returncode}: {said}"


def taken_over(flumed, version, directory):
    """Undelivered events, once with Flume's checkpoint and once without."""
    whole = f"{directory}/whole"
    made.make(version, whole, EVENTS)
    bare = f"{directory}/bare"
    shutil.copytree(whole, bare)
    shutil.rmtree(f"{bare}/checkpoint")
    for channel in (whole, bare):
        ours = f"{channel}-flumed"
        does_not_start(flumed, channel, ours, f"hold {EVENTS} events that Apache Flume has not delivered: "
                                              "'flumed tool channel import' takes them over")
        before = {file: os.stat(file).st_mtime_ns for file in glob.glob(f"{channel}/data/log-*")}
        imports(flumed, ours, 0, f"imported {EVENTS} events")
        imports(flumed, ours, 0, "done already")
        assert before == {file: os.stat(file).st_mtime_ns for file in before}, "Flume's files were touched"
        agent = flumed_on(flumed, channel, ours)
        try:
            agent.wait_for("out", EVENTS)
            agent.stop()
        finally:
            agent.close()
        events = agent.events("out")
        assert len(events) == EVENTS, f"{len(events)} events came out"
        for n, event in enumerate(events):
            assert event == b"%d" % n, f"event {n} is {event!r}"


def live(flumed, version, directory):
    """A Flume agent that runs on the directory is named, and left alone."""
    channel = f"{directory}/channel"
    text = made.CHANNEL + made.SEQ + made.keys("a1.channels.c1", dataDirs="@dir@/data", capacity=EVENTS)
    flume = made.agent(version, text + made.keys("a1.sources.r1", totalEvents=10), channel)
    try:
        made.put(flume, 10)
        ours = f"{directory}/flumed"
        found = does_not_start(flumed, channel, ours, r"is in use by a running Flume agent \(process (\d+)\)")
        assert int(found[1]) == flume.process.pid, f"named process {found[1]}, Flume is {flume.process.pid}"
        imports(flumed, ours, 1, "in use by a running Flume agent")
        assert made.counters(flume.port, "CHANNEL.c1")["ChannelSize"] == 10
        flume.stop()
    finally:
        flume.close()
    does_not_start(flumed, channel, f"{directory}/flumed", "hold 10 events that Apache Flume has not delivered")


CASES = [("file-channel-import", taken_over), ("file-channel-live", live)]
