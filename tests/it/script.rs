//! scripts/flume-ng: Flume's command line, put before a program that prints its arguments, and before flumed.

use crate::util::Folder;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A folder with the script and, beside it, a flumed that prints each argument and what else it was given.
fn installed() -> Folder {
    let folder = Folder::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/flume-ng");
    std::fs::copy(script, folder.path("flume-ng")).unwrap();
    fake(&folder, "flumed");
    folder
}

fn fake(folder: &Folder, name: &str) {
    let text = "#!/bin/sh\nfor a in \"$@\"; do printf '<%s>' \"$a\"; done\necho \" $GIVEN\"\nexit 7\n";
    std::fs::write(folder.path(name), text).unwrap();
    std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Exit code, standard output and standard error under a shell.
fn run_under(
    shell: &str,
    folder: &Folder,
    args: &[&str],
    env: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let mut command = Command::new(shell);
    command.arg(folder.path("flume-ng")).args(args).current_dir(folder.path(""));
    for name in ["JAVA_OPTS", "FLUME_JAVA_OPTS", "FLUMED_HOME"] {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.envs(env.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[track_caller]
fn expect(folder: &Folder, args: &[&str], env: &[(&str, &str)], expected: &str) {
    // The second time as on a host without bash.
    for plain in [&[][..], &[("BASH_VERSION", "none")]] {
        let (code, out, err) = run_under("sh", folder, args, &[env, plain].concat());
        assert_eq!(
            (code, out.as_str()),
            (Some(7), format!("{expected}\n").as_str()),
            "{args:?} {plain:?} {err}"
        );
    }
}

#[test]
fn arguments_go_on_as_they_are() {
    let folder = installed();
    let args = ["agent", "-n", "a 1", "--conf-file", "it's *.conf", "-Dx=y  z", "-Xmx1g", "", "--lenient"];
    expect(&folder, &args, &[], "<agent><-n><a 1><--conf-file><it's *.conf><-Dx=y  z><-Xmx1g><><--lenient> ");
    let args = [
        "node",
        "-C",
        "a:b",
        "--plugins-path",
        "p",
        "-agentlib:x",
        "-javaagent:y",
        "--classpath=z",
        "-n",
        "a",
    ];
    expect(&folder, &args, &[], "<node><-n><a> ");
    expect(&folder, &["help"], &[], "<help> ");
    expect(&folder, &["version"], &[], "<version> ");
    expect(&folder, &["tool", "-x"], &[], "<tool><-x> ");
    expect(&folder, &["avro-client", "-H", "h"], &[], "<avro-client><-H><h> ");
    expect(&folder, &["gizmo", "-d"], &[], "<gizmo><-d> ");
    expect(&folder, &[], &[], " ");
}

#[test]
fn java_opts_come_from_the_environment_and_from_flume_env() {
    let folder = installed();
    let env = [("JAVA_OPTS", "-server -Dx=*\t-Xmx2g -verbose:gc"), ("FLUME_JAVA_OPTS", "-Dz=1")];
    expect(&folder, &["agent", "-Dx=2"], &env, "<agent><-Dx=*><-Xmx2g><-Dz=1><-Dx=2> ");
    std::fs::create_dir(folder.path("my conf")).unwrap();
    // What it does to arguments, options and names of the shell stays with it; what it exports goes on.
    let text = "set -- x y\nset -eu\narg=1 conf=2 IFS=X\nexport GIVEN='from env'\n\
                JAVA_OPTS=\"$JAVA_OPTS -Dfrom.env=1 -Xms100m -Dcom.sun.management.jmxremote\"\n";
    std::fs::write(folder.path("my conf/flume-env.sh"), text).unwrap();
    let args = ["agent", "-n", "a b", "-c", "my conf", "-f", "x"];
    let expected = "<agent><-Dx=*><-Xmx2g><-Dfrom.env=1><-Xms100m><-Dcom.sun.management.jmxremote><-Dz=1>\
                    <--conf><my conf><-n><a b><-f><x> from env";
    expect(&folder, &args, &env, expected);
    let (_, _, err) = run_under("sh", &folder, &args, &env);
    assert_eq!(err, "Info: Sourcing environment configuration script my conf/flume-env.sh\n");
    // Written for bash, as it may be.
    std::fs::write(folder.path("my conf/flume-env.sh"), "unset JAVA_OPTS FLUME_JAVA_OPTS\n").unwrap();
    expect(&folder, &["check", "--conf=my conf"], &env, "<check><--conf><my conf> ");
    expect(&folder, &["agent", "--conf", "none"], &[], "<agent><--conf><none> ");
}

#[test]
fn a_dry_run_shows_the_command() {
    let folder = installed();
    for args in [["agent", "-d", "-n", "it's", "-f", "x"], ["agent", "-n", "it's", "-f", "x", "--dryrun"]] {
        let (code, out, _) = run_under("sh", &folder, &args, &[]);
        let flumed = std::fs::canonicalize(folder.path("flumed")).unwrap();
        assert_eq!((code, out), (Some(0), format!("{} agent -n 'it'\\''s' -f x \n", flumed.display())));
    }
}

#[test]
fn what_is_missing_is_told() {
    let folder = installed();
    for option in ["--conf", "-c", "-C", "--classpath", "--plugins-path"] {
        let (code, _, err) = run_under("sh", &folder, &["agent", "-n", "a", option], &[]);
        assert_eq!((code, err), (Some(1), format!("Error: option {option} requires an argument\n")));
    }
    std::fs::remove_file(folder.path("flumed")).unwrap();
    let path = "/usr/bin:/bin";
    let (code, _, err) = run_under("sh", &folder, &["help"], &[("PATH", path)]);
    assert!(code == Some(1) && err.contains("FLUMED_HOME"), "{err}");
    std::fs::create_dir(folder.path("bin")).unwrap();
    fake(&folder, "bin/flumed");
    let here = folder.path("");
    expect(&folder, &["help"], &[("PATH", path), ("FLUMED_HOME", here.to_str().unwrap())], "<help> ");
    let with_path = format!("{}:{path}", folder.path("bin").display());
    expect(&folder, &["help"], &[("PATH", &with_path)], "<help> ");
}

/// The whole way: flume-env.sh, the script, the program, a value from each.
#[test]
fn flumed_checks_what_flume_ng_gives_it() {
    let folder = installed();
    std::fs::remove_file(folder.path("flumed")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_flumed"), folder.path("flumed")).unwrap();
    std::fs::create_dir(folder.path("conf")).unwrap();
    let env = "export NC_HOST=127.0.0.1\nJAVA_OPTS='-Xms10m -Xmx64m -Dnc.port=0'\n";
    std::fs::write(folder.path("conf/flume-env.sh"), env).unwrap();
    let text = "a1.sources = r1\na1.channels = c1\na1.sinks = k1\na1.sources.r1.type = netcat\n\
                a1.sources.r1.bind = ${env:NC_HOST}\na1.sources.r1.port = ${sys:nc.port}\n\
                a1.sources.r1.channels = c1\na1.channels.c1.type = memory\na1.sinks.k1.type = null\n\
                a1.sinks.k1.channel = c1\n";
    std::fs::write(folder.path("a1.conf"), text).unwrap();
    let args = ["check", "-n", "a1", "-c", "conf", "-f", "a1.conf"];
    let (code, out, err) = run_under("sh", &folder, &args, &[]);
    assert_eq!((code, out.lines().last()), (Some(0), Some("0 errors, 0 warnings")), "{out}{err}");
    // A start says that it leaves the file alone only when nobody has run it.
    let said = |(code, _, err): (Option<i32>, String, String)| {
        assert_eq!(code, Some(2), "{err}");
        err.contains("flumed does not")
    };
    let args = ["agent", "-n", "none", "-c", "conf", "-f", "a1.conf"];
    let stale = [("FLUMED_ENV_SOURCED", "other/flume-env.sh"), ("RUST_LOG", "info")];
    assert!(!said(run_under("sh", &folder, &args, &stale)));
    let Output { status, stderr, .. } = Command::new(folder.path("flumed"))
        .args(args)
        .current_dir(folder.path(""))
        .env_remove("FLUMED_ENV_SOURCED")
        .env("RUST_LOG", "info")
        .output()
        .unwrap();
    assert!(said((status.code(), String::new(), String::from_utf8(stderr).unwrap())));
}
