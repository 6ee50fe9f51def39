//! The keys of TLS: what `check` finds wrong with them, with file, line and key; those that are given for all components.

use crate::pki::Pki;
use crate::util::{Conf, Folder};
use crate::wire::{Rpc, Wire, OK};
use flumed::codec::thrift::Encoding;
use flumed::tls::{Client, Options, Trust};
use std::process::Command;

fn folder() -> Folder {
    let (folder, pki) = (Folder::new(), Pki::new("ca"));
    let own = pki.issue(&["localhost"]);
    std::fs::write(folder.path("own.p12"), own.pkcs12("secret")).unwrap();
    std::fs::write(folder.path("own.pem"), own.pem()).unwrap();
    std::fs::write(folder.path("own.crt"), own.certificate).unwrap();
    std::fs::write(folder.path("own.jks"), [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2]).unwrap();
    std::fs::write(folder.path("ca.pem"), pki.certificate()).unwrap();
    folder
}

fn conf(kind: &str, keys: &[&str]) -> Conf {
    let host = if kind == "syslogtcp" { "host = 127.0.0.1" } else { "bind = 127.0.0.1" };
    let keys = [&[host, "port = 0"], keys].concat();
    Conf::new().source_anywhere("r1", kind, "c1", &keys).channel("c1", &[]).files_later(
        "k1",
        "c1",
        "out",
        &[],
    )
}

/// What `check` says, with these words and this environment.
fn check(folder: &Folder, conf: &Conf, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    std::fs::write(folder.path("a1.conf"), conf.text()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flumed"));
    command.args(["check", "-n", "a1", "-f", "a1.conf"]).args(args).envs(env.iter().copied());
    let out = command.current_dir(folder.path("")).env_remove("RUST_LOG").output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap())
}

const STORE: [&str; 3] = ["ssl = true", "keystore = own.p12", "keystore-password = secret"];

#[test]
fn mistakes_are_named_with_file_line_and_key() {
    let folder = folder();
    // The first of the keys stands on line 8, behind type, channels, bind and port; what is missing is told of line 4.
    for kind in ["avro", "thrift", "syslogtcp"] {
        let store = |more: &[&'static str]| [&STORE[..], more].concat();
        for (keys, finding) in [
            (vec!["ssl = true"], "4: a1.sources.r1.keystore: required key is missing: ssl = true needs it"),
            (vec!["ssl = true", "keystore = none.p12"], "9: a1.sources.r1.keystore: none.p12: No such file"),
            (
                vec!["ssl = true", "keystore = own.p12", "keystore-password = other"],
                "9: a1.sources.r1.keystore: own.p12: the password is wrong",
            ),
            (
                vec!["ssl = true", "keystore = own.jks"],
                "9: a1.sources.r1.keystore: own.jks: a Java keystore (JKS)",
            ),
            (vec!["ssl = true", "keystore = own.jks"], "keytool -importkeystore -srckeystore own.jks"),
            (
                vec!["ssl = true", "keystore = own.crt"],
                "9: a1.sources.r1.keystore: own.crt: no PEM private key",
            ),
            (vec!["ssl = true", "certificate = own.crt"], "9: a1.sources.r1.certificate: needs private-key"),
            (
                vec!["ssl = true", "certificate = own.crt", "private-key = none.key"],
                "10: a1.sources.r1.private-key: none.key: No such file",
            ),
            (
                store(&["client-auth = need"]),
                "a1.sources.r1.truststore: required key is missing: client-auth asks for certificates",
            ),
            (
                store(&["client-auth = want", "truststore = none.pem"]),
                "12: a1.sources.r1.truststore: none.pem: No such file",
            ),
            (store(&["client-auth = perhaps"]), "11: a1.sources.r1.client-auth: "),
            (
                store(&["include-protocols = TLSv1.1"]),
                "11: a1.sources.r1.include-protocols: no protocol is left",
            ),
            (
                store(&["include-cipher-suites = X"]),
                "11: a1.sources.r1.include-cipher-suites: no cipher suite is left",
            ),
        ] {
            let (code, out) = check(&folder, &conf(kind, &keys), &[], &[]);
            assert!(out.contains(finding), "{kind} {finding}: {out}");
            assert_eq!(code, Some(2), "{out}");
        }
        for (keys, warning) in [
            (
                store(&["include-protocols = TLSv1 TLSv1.2"]),
                "11: a1.sources.r1.include-protocols: warning: TLSv1 is not there",
            ),
            (
                store(&["include-cipher-suites = SSL_X TLS_AES_128_GCM_SHA256"]),
                "11: a1.sources.r1.include-cipher-suites: warning: SSL_X is not there",
            ),
            (store(&["truststore = ca.pem"]), "11: a1.sources.r1.truststore: warning: means nothing"),
            (
                vec!["keystore = none"],
                "8: a1.sources.r1.keystore: warning: means nothing, the connection is not encrypted",
            ),
        ] {
            let (code, out) = check(&folder, &conf(kind, &keys), &[], &[]);
            assert!(out.contains(warning), "{kind} {warning}: {out}");
            assert_eq!(code, Some(0), "{out}");
        }
        for keys in [&STORE[..], &["ssl = true", "keystore = own.pem"]] {
            let (code, out) = check(&folder, &conf(kind, keys), &[], &[]);
            assert_eq!((code, out.contains("warning: ")), (Some(0), false), "{out}");
        }
    }
}

#[test]
fn what_is_given_for_all_holds_where_ssl_is_true_and_nothing_else_is_said() {
    let folder = folder();
    let (ssl, plain) = (conf("thrift", &["ssl = true"]), conf("thrift", &[]));
    let own = conf("thrift", &STORE);
    let property = ["-Djavax.net.ssl.keyStore=own.p12", "-Djavax.net.ssl.keyStorePassword=secret"];
    let env = [("FLUME_SSL_KEYSTORE_PATH", "own.p12"), ("FLUME_SSL_KEYSTORE_PASSWORD", "secret")];
    let bad_property = ["-Djavax.net.ssl.keyStore=none.p12"];
    let bad_env = [("FLUME_SSL_KEYSTORE_PATH", "none.p12")];
    for (conf, args, env) in [
        (&ssl, &property[..], &[][..]),
        (&ssl, &[], &env),
        (&ssl, &property, &bad_env),
        (&own, &bad_property, &bad_env),
        (&plain, &bad_property, &bad_env),
    ] {
        let (code, out) = check(&folder, conf, args, env);
        assert_eq!(code, Some(0), "{args:?} {env:?}: {out}");
    }
    for (args, env, origin) in [
        (&bad_property[..], &env[..], "-Djavax.net.ssl.keyStore"),
        (&[], &bad_env, "environment FLUME_SSL_KEYSTORE_PATH"),
    ] {
        let (code, out) = check(&folder, &ssl, args, env);
        assert_eq!(code, Some(2), "{out}");
        let line =
            out.lines().find(|l| l.contains("none.p12: No such file")).unwrap_or_else(|| panic!("{out}"));
        assert!(line.contains(origin) && line.contains("a1.sources.r1.keystore"), "{line}");
    }
    let lists = [&property[..], &["-Dflume.ssl.include.protocols=TLSv1.1"]].concat();
    let (code, out) = check(&folder, &ssl, &lists, &[]);
    assert!(code == Some(2) && out.contains("include-protocols: no protocol is left"), "{out}");
    // And it is served with it.
    let store = format!("-Djavax.net.ssl.keyStore={}", folder.path("own.p12").display());
    let agent = ssl.folder("out").arg(&store).arg(property[1]).start();
    let client = Client::new("test", Options { trust: Trust::Anyone, ..Options::default() }).unwrap();
    let wire = Wire::tls(agent.address("r1"), &client).unwrap();
    assert_eq!(Rpc::over(wire, Encoding::Binary).ask(&["one"]), OK);
}
