//! The host interceptor: a header with this machine's address or name.
//!
//! Looked up once, when the source is built, on a thread of its own: a name server that does not answer delays the start
//! by the deadline and no more. Without an answer there is a warning and no header. Runs on the thread that delivers.

use super::{set_all, Interceptor, InterceptorSpec};
use crate::config::{Context, Declared, Default, Key, Kind, Spec, Type};
use crate::event::{self, Batch};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::Duration;

/// How long the start waits for the look-up.
const PATIENCE: Duration = Duration::from_secs(5);

pub static SPEC: InterceptorSpec = Spec {
    declared: Declared {
        kind: Kind::Interceptor,
        name: "host",
        class: "org.apache.flume.interceptor.HostInterceptor$Builder",
        help: "Sets a header to this machine's address or name",
        keys: &[&[
            Key::new("hostHeader", Type::Header, Default::Is("host"), "header to set"),
            Key::new(
                "useIP",
                Type::Bool,
                Default::Is("true"),
                "true: the address of its host name; false: its full name",
            ),
            super::preserve_existing("false"),
        ]],
        batch_key: None,
        check: None,
        advice: None,
        differs: &["where the host name leads to a loopback address and others: takes the first that is no loopback; Flume the first IPv4 address"],
    },
    build: |ctx, _| Box::new(Host::new(ctx)),
};

struct Host {
    header: event::Key,
    preserve: bool,
    /// Empty: not known.
    value: String,
}

impl Host {
    fn new(ctx: &Context) -> Host {
        let use_ip = ctx.flag("useIP");
        let value = within(PATIENCE, move || local(use_ip)).unwrap_or_else(|why| {
            log::warn!("interceptor {}: {why}: there will be no header", ctx.name());
            String::new()
        });
        Host {
            header: ctx.header("hostHeader").expect("has a default"),
            preserve: ctx.flag("preserveExisting"),
            value,
        }
    }
}

impl Interceptor for Host {
    fn intercept(&self, batch: &mut Batch) {
        if !self.value.is_empty() {
            set_all(batch, self.header, self.value.as_bytes(), self.preserve);
        }
    }
}

/// Runs a look-up that may hang; its thread is left behind when it does.
fn within(
    patience: Duration,
    look_up: impl FnOnce() -> io::Result<String> + Send + 'static,
) -> Result<String, String> {
    let (tx, rx) = channel();
    let thread = std::thread::Builder::new().name("host-name".to_owned());
    let started = thread.spawn(move || tx.send(look_up()));
    started.map_err(|e| format!("no thread to look up this machine's address: {e}"))?;
    match rx.recv_timeout(patience) {
        Ok(found) => found.map_err(|e| format!("cannot look up this machine's address: {e}")),
        Err(_) => Err(format!("this machine's address is not known after {} s", patience.as_secs())),
    }
}

fn local(use_ip: bool) -> io::Result<String> {
    let name = dns_lookup::get_hostname()?;
    let ip = choose(addresses(&name)?).ok_or_else(|| io::Error::other(format!("{name} has no address")))?;
    if use_ip {
        return Ok(ip.to_string());
    }
    // As in Java, a name counts only when it leads back to the address.
    let full = dns_lookup::lookup_addr(&ip).ok();
    let leads_back = |n: &String| addresses(n).is_ok_and(|all| all.contains(&ip));
    Ok(full.filter(leads_back).unwrap_or_else(|| ip.to_string()))
}

fn addresses(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|a| a.ip()).collect())
}

/// The first address, like Java an IPv4 one if there is any; unlike Java no loopback if there is another.
fn choose(all: Vec<IpAddr>) -> Option<IpAddr> {
    all.into_iter().min_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{build, one, shown};
    use super::*;
    use std::sync::mpsc::RecvError;

    #[test]
    fn addresses_that_others_can_use_come_first() {
        let chosen = |all: &[&str]| choose(all.iter().map(|a| a.parse().unwrap()).collect());
        let is = |a: &str| Some(a.parse().unwrap());
        assert_eq!(chosen(&["::1", "127.0.1.1", "2001:db8::1", "192.0.2.2", "192.0.2.1"]), is("192.0.2.2"));
        assert_eq!(chosen(&["127.0.1.1", "2001:db8::1"]), is("2001:db8::1"));
        assert_eq!(chosen(&["::1", "127.0.1.1"]), is("127.0.1.1"));
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn the_header_is_set_where_the_address_is_known() {
        let host = |value: &str, preserve| Host { header: event::Key::HOST, preserve, value: value.into() };
        let set = |h: Host, headers: &[(&str, &str)]| {
            let mut b = one(b"x", headers);
            h.intercept(&mut b);
            shown(&b).remove(0)
        };
        assert_eq!(set(host("192.0.2.1", false), &[]), "host=192.0.2.1: x");
        assert_eq!(set(host("192.0.2.1", false), &[("host", "old")]), "host=192.0.2.1: x");
        assert_eq!(set(host("192.0.2.1", true), &[("host", "old")]), "host=old: x");
        assert_eq!(set(host("", false), &[]), ": x");
    }

    #[test]
    fn the_look_up_of_this_machine_ends() {
        // What comes out depends on the machine; a name and an address are alike for headers.
        for use_ip in ["true", "false"] {
            let (i, _) = build(&SPEC, &[("hostHeader", "node"), ("useIP", use_ip)]);
            let mut b = one(b"x", &[]);
            i.intercept(&mut b);
            assert!(b.get(0).headers().len() <= 1);
        }
    }

    #[test]
    fn a_look_up_that_hangs_is_left_behind() {
        let (tx, rx) = channel::<()>();
        let hangs = move || rx.recv().map_err(|RecvError| io::Error::other("ended")).map(|()| String::new());
        assert_eq!(
            within(Duration::ZERO, hangs).unwrap_err(),
            "this machine's address is not known after 0 s"
        );
        drop(tx);
        assert_eq!(
            within(PATIENCE, || Err(io::Error::other("gone"))).unwrap_err(),
            "cannot look up this machine's address: gone"
        );
    }
}
