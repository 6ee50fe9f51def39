use super::*;
use crate::client::testing::{batch, dead_port, Peer, Scripted};
use crate::codec::rpc::Status;

/// A client of this type for servers at these ports.
fn client(kind: &str, ports: &[u16], more: &[(&str, &str)]) -> Client {
    let names: Vec<String> = (0..ports.len()).map(|i| format!("h{i}")).collect();
    let keys: Vec<(String, String)> =
        names.iter().zip(ports).map(|(n, p)| (format!("hosts.{n}"), format!("127.0.0.1:{p}"))).collect();
    let list = names.join(" ");
    let mut pairs = vec![("client.type", kind), ("hosts", &list)];
    pairs.extend(keys.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    pairs.extend_from_slice(more);
    Client::from_properties(pairs).unwrap()
}

fn calls(server: &Scripted) -> Vec<usize> {
    server.calls().iter().map(Vec::len).collect()
}

/// Answers in this way once the handshake is behind it, then stores everything.
fn first_then_good(first: fn(&mut Peer)) -> Scripted {
    Scripted::new(move |n, peer| {
        peer.shake();
        if n == 0 && peer.call().is_some() {
            first(peer);
        }
        peer.serve(Status::Ok);
    })
}

#[test]
fn a_long_list_takes_several_calls() {
    let server = Scripted::good();
    let mut c = client("default", &[server.port], &[("batch-size", "2")]);
    assert_eq!(c.batch_size(), 2);
    c.append_batch(&batch(&["a", "b", "c", "d", "e"])).unwrap();
    c.append(batch(&["f"]).get(0)).unwrap();
    c.append_batch(&batch(&[])).unwrap();
    assert_eq!(calls(&server), [2, 2, 1, 1]);
}

#[test]
fn a_default_client_lives_on_after_a_failure() {
    let server = Scripted::new(|n, peer| {
        peer.shake();
        peer.call();
        peer.answer(Status::Ok);
        if n == 0 {
            // No answer.
            peer.call();
        }
    });
    let mut c = client("default", &[server.port], &[("batch-size", "2")]);
    let e = c.append_batch(&batch(&["a", "b", "c"])).unwrap_err();
    assert_eq!((e.outcome, e.acknowledged, e.failed), (Outcome::Unknown, 2, 1));
    c.append_batch(&batch(&["c"])).unwrap();
    assert_eq!(calls(&server), [2, 1, 1]);
    c.close();
}

#[test]
fn the_next_host_takes_over_and_keeps_the_work() {
    let good = Scripted::good();
    let mut c = client("default_failover", &[dead_port(), good.port, dead_port()], &[]);
    for _ in 0..3 {
        c.append_batch(&batch(&["a", "b"])).unwrap();
    }
    assert_eq!((calls(&good), good.connections()), (vec![2, 2, 2], 1));
}

#[test]
fn failover_after_every_kind_of_failure() {
    for first in
        [|p: &mut Peer| p.answer(Status::Failed), Peer::reset, |p: &mut Peer| p.send(b"junk, not an answer")]
    {
        let (bad, good) = (
            Scripted::new(move |_, peer| {
                peer.shake();
                peer.call();
                first(peer);
            }),
            Scripted::good(),
        );
        let mut c = client("default_failover", &[bad.port, good.port], &[]);
        c.append_batch(&batch(&["a"])).unwrap();
        c.append_batch(&batch(&["b"])).unwrap();
        assert_eq!((calls(&bad), calls(&good)), (vec![1], vec![1, 1]));
    }
}

#[test]
fn attempts_are_bounded_and_nothing_is_final() {
    let server = first_then_good(|p| p.answer(Status::Failed));
    let mut c = client("default_failover", &[server.port], &[("max-attempts", "2")]);
    c.append_batch(&batch(&["a"])).unwrap();
    assert_eq!(calls(&server), [1, 1], "the same host again");

    let server = first_then_good(|p| p.answer(Status::Failed));
    let mut c = client("default_failover", &[server.port, dead_port()], &[("max-attempts", "1")]);
    let e = c.append_batch(&batch(&["a"])).unwrap_err();
    assert!(e.outcome == Outcome::Refused && e.why.contains("FAILED"), "{e}");
    c.append_batch(&batch(&["a"])).unwrap();
    assert_eq!(calls(&server), [1, 1]);
}

#[test]
fn with_no_host_there_the_error_names_all() {
    let ports = [dead_port(), dead_port()];
    for kind in ["default_failover", "default_loadbalance"] {
        for selector in ["round_robin", "random"] {
            let mut c = client(kind, &ports, &[("host-selector", selector), ("backoff", "true")]);
            // Also when all are left alone for a while.
            for _ in 0..3 {
                let e = c.append_batch(&batch(&["a"])).unwrap_err();
                assert_eq!(e.outcome, Outcome::NotSent);
                assert!(ports.iter().all(|p| e.why.contains(&format!("127.0.0.1:{p}"))), "{e}");
            }
        }
    }
}

#[test]
fn what_one_host_may_have_stored_is_not_undone_by_another() {
    let silent = Scripted::new(|_, peer| {
        peer.shake();
        peer.call();
    });
    let mut c = client("default_failover", &[silent.port, dead_port()], &[("max-attempts", "1")]);
    assert_eq!(c.append_batch(&batch(&["a"])).unwrap_err().outcome, Outcome::Unknown);
    let mut c = client("default_loadbalance", &[silent.port, dead_port()], &[]);
    let e = c.append_batch(&batch(&["a", "b"])).unwrap_err();
    assert_eq!((e.outcome, e.maybe_stored(), calls(&silent).len()), (Outcome::Unknown, 2, 2), "{e}");
}

#[test]
fn how_far_a_batch_came_is_how_far_it_came_at_one_host() {
    let e = |outcome, acknowledged, failed| Error { acknowledged, failed, ..Error::new(outcome, "why") };
    let of = |failed: &[Error]| {
        let e = Tries { failed: failed.iter().cloned().enumerate().collect() }.into_error();
        (e.outcome, e.acknowledged, e.failed)
    };
    use Outcome::*;
    // Of a batch of ten: at one host eight are stored and two have no answer, at the other all ten have none.
    assert_eq!(of(&[e(Unknown, 8, 2), e(Unknown, 0, 10)]), (Unknown, 8, 2));
    assert_eq!(of(&[e(Unknown, 0, 10), e(Refused, 8, 2)]), (Unknown, 8, 2));
    assert_eq!(of(&[e(Unknown, 0, 5), e(Refused, 8, 2)]), (Refused, 8, 2));
    assert_eq!(of(&[e(Unknown, 0, 5), e(NotSent, 0, 0), e(Refused, 2, 8)]), (Unknown, 2, 3));
    assert_eq!(of(&[e(NotSent, 0, 0), e(Refused, 0, 10)]), (Refused, 0, 10));
    assert_eq!(of(&[e(Refused, 0, 10), e(TooLarge, 4, 1)]), (TooLarge, 4, 1));
    assert_eq!(of(&[]), (NotSent, 0, 0));
}

#[test]
fn load_is_balanced_among_those_that_live() {
    let (one, two) = (Scripted::good(), Scripted::good());
    let mut c = client("default_loadbalance", &[one.port, two.port], &[]);
    for _ in 0..6 {
        c.append_batch(&batch(&["a"])).unwrap();
    }
    assert_eq!((calls(&one).len(), calls(&two).len()), (3, 3));

    let (one, two) = (Scripted::good(), Scripted::good());
    let ports = [one.port, dead_port(), two.port];
    for (selector, backoff) in [("round_robin", "false"), ("round_robin", "true"), ("random", "true")] {
        let mut c =
            client("default_loadbalance", &ports, &[("host-selector", selector), ("backoff", backoff)]);
        for _ in 0..40 {
            c.append(batch(&["a"]).get(0)).unwrap();
        }
    }
    let (one, two) = (calls(&one).len(), calls(&two).len());
    assert!(one + two == 120 && one > 20 && two > 20, "{one} {two}");
}

#[test]
fn files_are_read_as_flumes() {
    let server = Scripted::good();
    let dir = std::env::temp_dir().join(format!("flumed-client-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("rpc.properties");
    std::fs::write(&file, format!("hosts: h1\nhosts.h1 = localhost:{}\nbatch-size=3\n", server.port))
        .unwrap();
    let mut c = Client::from_file(&file).unwrap();
    c.append_batch(&batch(&["a"; 4])).unwrap();
    assert_eq!(calls(&server), [3, 1]);
    std::fs::write(&file, "hosts = h1\n").unwrap();
    let wrong = Client::from_file(&file).err().unwrap();
    assert!(wrong[0].contains("rpc.properties:1: hosts: there is no hosts.h1"), "{wrong:?}");
    std::fs::write(&file, "hosts = \\u00zz\n").unwrap();
    assert!(Client::from_file(&file).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(Client::from_file(&file).err().unwrap()[0].contains("cannot be read"));
}
