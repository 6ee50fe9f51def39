//! /metrics in both forms, /healthz.

use crate::util::{wait, Agent, Conf};

fn agent(arg: &str) -> Agent {
    let agent = Conf::new()
        .source("r1", "netcat", "c1", &[])
        .channel("c1", &["capacity = 200"])
        .files("k1", "c1", "out")
        .arg(arg)
        .start();
    let mut client = agent.connect("r1");
    for i in 0..3 {
        assert_eq!(client.ask(&format!("line {i}")), "OK\n");
    }
    agent.wait_lines("out", 3);
    agent
}

#[test]
fn metrics_are_flumes_json() {
    let agent = agent("-Dflume.monitoring.type=http");
    wait(3, || agent.metric("SINK.k1", "EventDrainSuccessCount"));
    let all = agent.metrics();
    let components: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(components, ["AGENT.a1", "CHANNEL.c1", "SINK.k1", "SOURCE.r1"]);
    for values in all.as_object().unwrap().values() {
        assert!(values.as_object().unwrap().values().all(|v| v.is_string()), "{values}");
    }
    for (component, key, value) in [
        ("SOURCE.r1", "Type", "SOURCE"),
        ("SOURCE.r1", "EventReceivedCount", "3"),
        ("SOURCE.r1", "EventAcceptedCount", "3"),
        ("SOURCE.r1", "ChannelWriteFail", "0"),
        ("SOURCE.r1", "StopTime", "0"),
        ("CHANNEL.c1", "ChannelCapacity", "200"),
        ("CHANNEL.c1", "ChannelSize", "0"),
        ("CHANNEL.c1", "ChannelFillPercentage", "0.0"),
        ("CHANNEL.c1", "EventPutSuccessCount", "3"),
        ("CHANNEL.c1", "EventTakeSuccessCount", "3"),
        ("SINK.k1", "EventDrainAttemptCount", "3"),
        ("SINK.k1", "BatchCompleteCount", "0"),
        ("SINK.k1", "LastError", ""),
    ] {
        assert_eq!(all[component][key], value, "{component} {key}");
    }
    assert!(agent.metric("SOURCE.r1", "StartTime") > 1_700_000_000_000);
    assert_eq!(agent.get("/METRICS").0, 200);
    assert_eq!(agent.get("/gizmo").0, 404);
}

#[test]
fn prometheus_text_has_a_type_and_a_sample_for_each_counter() {
    let agent = agent("-Dflume.monitoring.type=prometheus");
    let drained = "Flume_EventDrainSuccessCount_total{component=\"k1\",type=\"SINK\"} 3\n";
    wait(true, || agent.get("/metrics").1.contains(drained));
    let text = agent.get("/metrics").1;
    for line in [
        "# TYPE Flume_EventAcceptedCount_total counter\n",
        "\nFlume_EventAcceptedCount_total{component=\"r1\",type=\"SOURCE\"} 3\n",
        "# TYPE Flume_ChannelSize gauge\nFlume_ChannelSize{component=\"c1\",type=\"CHANNEL\"} 0\n",
        "\nFlume_ChannelCapacity{component=\"c1\",type=\"CHANNEL\"} 200\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("Flume_") && name.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn healthz_is_ok_when_all_run() {
    let agent = agent("-Dflume.monitoring.type=http");
    assert_eq!(agent.get("/healthz"), (200, "ok\n".to_owned()));
}

#[test]
fn the_agents_own_keys_serve_metrics_too() {
    let folder = crate::util::Folder::new();
    let text =
        "a1.sources = r1\na1.channels = c1\na1.sources.r1.type = netcat\na1.sources.r1.bind = 127.0.0.1\n\
                a1.sources.r1.port = 0\na1.sources.r1.channels = c1\na1.channels.c1.type = memory\n\
                a1.flumed.monitoring.type = prometheus\na1.flumed.monitoring.bind = 127.0.0.1\n";
    // The flag wins over the file.
    let agent = Agent::spawn(folder, text, &["-Dflume.monitoring.type=http".to_owned()], None);
    agent.wait_log("agent a1 started");
    assert_eq!(agent.metrics()["SOURCE.r1"]["EventAcceptedCount"], "0");
}
