//! What Flume has and flumed has not: types, keys and options that users may have, each with what to say
//! of it and what to use instead. Look-ups in values (`${script:...}`) have their list in `config::interpolate`,
//! schemes of URIs in `config::origin`: they stand below. Pure.

use crate::config::Kind;

/// Types of this version's future, by short name or the end of the class name.
const LATER: &[(Kind, &[&str])] = &[
    (Kind::Source, &["spooldir", "taildir", "jms"]),
    (Kind::Source, &["KafkaSource"]),
    (Kind::Channel, &["KafkaChannel"]),
    (Kind::Sink, &["hdfs", "KafkaSink"]),
    (Kind::Serializer, &["avro_event", "AvroEventSerializer"]),
];

/// Types that flumed will not have, and what to use instead.
const NEVER: &[(Kind, &[&str], &str)] = &[
    (Kind::Source, &["ScribeSource", "scribe"], "send with Avro, Thrift or HTTP"),
    (
        Kind::Source,
        &["AvroLegacySource", "ThriftLegacySource", "avrolegacy", "thriftlegacy"],
        "Flume 0.9 senders can go through a Flume agent",
    ),
    (Kind::Source, &["TwitterSource", "twitter"], "its API is gone"),
    (Kind::Channel, &["jdbc", "JdbcChannel"], "use a file channel"),
    (Kind::Channel, &["PseudoTxnMemoryChannel"], "use memory"),
    (Kind::Sink, &["irc", "IRCSink"], "use http or file_roll"),
    (Kind::Sink, &["elasticsearch", "ElasticSearchSink"], "Flume itself dropped it; use http"),
    (
        Kind::Sink,
        &["hbase", "asynchbase", "hbase2", "HBaseSink", "AsyncHBaseSink", "HBase2Sink"],
        "use hdfs or Kafka",
    ),
    (Kind::Sink, &["hive", "HiveSink"], "use hdfs and load from there, or Kafka"),
    (Kind::Sink, &["KuduSink", "kudu", "DatasetSink", "dataset"], "use hdfs or Kafka"),
    (Kind::Sink, &["morphline_solr", "MorphlineSolrSink"], "morphlines run in a JVM only"),
    (Kind::Interceptor, &["MorphlineInterceptor"], "morphlines run in a JVM only"),
    (Kind::Serializer, &["SyslogAvroEventSerializer"], "use avro_event when it is there, or text"),
    (
        Kind::ConfigFilter,
        &["hadoop", "HadoopCredentialStoreConfigFilter"],
        "Java credential stores are not read; use external with a command that prints the secret, file with a \
         directory of secret files, or env",
    ),
];

const NO_KERBEROS: &str = "there is no Kerberos here; use TLS, or a network that needs none";

/// Keys of Flume for which there is nothing here, by their last word, and what to do instead. They stand in
/// components of several types; whoever has a meaning for one declares it.
const KEYS: &[(&str, &str)] = &[
    ("config", "it names a Java class that checks keys"),
    ("kerberos", NO_KERBEROS),
    ("kerberosPrincipal", NO_KERBEROS),
    ("kerberosKeytab", NO_KERBEROS),
    ("agent-principal", NO_KERBEROS),
    ("agent-keytab", NO_KERBEROS),
    ("client-principal", NO_KERBEROS),
    ("client-keytab", NO_KERBEROS),
    ("server-principal", NO_KERBEROS),
    ("proxyUser", "there is no Kerberos here, so nobody can be stood in for; run the agent as that user"),
];

/// Options of the agent.
const FLAGS: &[(&str, &str)] = &[
    ("dryrun", "'flumed check' tests a configuration without running it; the script flume-ng has --dryrun"),
    ("auth-provider", "it is a Java class; basic authentication has --conf-user and --conf-password-file"),
    ("conf-provider", "it is a Java class; write the configuration to a file, or serve it over http"),
    ("zkConnString", "keep the configuration in a file or serve it over http (--conf-uri)"),
    ("zkBasePath", "keep the configuration in a file or serve it over http (--conf-uri)"),
];

/// Class names of aliased types whose last part is not the alias.
const CLASSES: &[(Kind, &str, &str)] =
    &[(Kind::Source, "SpoolDirectorySource", "spooldir"), (Kind::Sink, "HDFSEventSink", "hdfs")];

/// The message for a type that flumed knows of and does not have; `None` for a type it never heard of.
pub fn component(kind: Kind, type_name: &str) -> Option<String> {
    let plain = type_name.strip_suffix("$Builder").unwrap_or(type_name);
    let last = plain.rsplit('.').next().unwrap_or(plain);
    let alias = CLASSES.iter().find(|(k, class, _)| *k == kind && *class == last).map(|(_, _, alias)| *alias);
    // FileChannel, AvroSink, HTTPSource, TimestampInterceptor: the alias and the kind.
    let stem = last.to_ascii_lowercase();
    let stem = stem.strip_suffix(&kind.word().to_ascii_lowercase()).unwrap_or(&stem);
    let is = |name: &&str| {
        alias == Some(*name) || name.eq_ignore_ascii_case(last) || name.eq_ignore_ascii_case(stem)
    };
    if let Some((.., instead)) = NEVER.iter().find(|(k, names, _)| *k == kind && names.iter().any(&is)) {
        return Some(format!("{} type {type_name} is not supported by flumed: {instead}", kind.word()));
    }
    let later = LATER.iter().any(|(k, names)| *k == kind && names.iter().any(&is));
    if later {
        return Some(format!(
            "{} type {type_name} is not supported by this version of flumed yet",
            kind.word()
        ));
    }
    let own_class = type_name.contains('.') && !type_name.starts_with("org.apache.flume.");
    own_class.then(|| format!(
            "{type_name} is a Java class; flumed runs components written in Rust: its own, and those of a program that adds \
             its own to them"
        ))
}

/// The message for a key that flumed knows of and this type does not have.
pub fn key(kind: Kind, type_name: &str, key: &str) -> Option<String> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let (_, why) = KEYS.iter().find(|(k, _)| *k == last)?;
    Some(format!("not supported by flumed ({} {type_name}): ignored; {why}", kind.word()))
}

/// The message for an option that is known and refused.
pub fn flag(long: &str) -> String {
    let why = FLAGS.iter().find(|(f, _)| *f == long).map(|(_, why)| format!(": {why}"));
    format!("--{long} is not supported by flumed{}", why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_options() {
        assert!(key(Kind::Sink, "hdfs", "hdfs.kerberosKeytab").unwrap().contains("no Kerberos"));
        assert!(key(Kind::Source, "netcat", "config").unwrap().contains("Java class"));
        assert_eq!(key(Kind::Source, "netcat", "port"), None);
        assert!(flag("zkConnString").contains("keep the configuration in a file"));
    }

    #[test]
    fn known_types_are_told_from_strangers() {
        let say = |k, t: &str| component(k, t).unwrap_or_default();
        assert!(say(Kind::Sink, "hbase2").contains("use hdfs or Kafka"));
        assert!(say(Kind::Sink, "org.apache.flume.sink.hdfs.HDFSEventSink").contains("yet"));
        assert!(say(Kind::Source, "org.apache.flume.source.SpoolDirectorySource").contains("yet"));
        assert!(say(Kind::Channel, "org.apache.flume.channel.kafka.KafkaChannel").contains("yet"));
        let morphline = "org.apache.flume.sink.solr.morphline.MorphlineInterceptor$Builder";
        assert!(say(Kind::Interceptor, morphline).contains("JVM"));
        assert!(say(Kind::Source, "com.example.MySource").contains("Java class"));
        assert!(say(Kind::ConfigFilter, "hadoop").contains("use external"));
        let hadoop = "org.apache.flume.configfilter.HadoopCredentialStoreConfigFilter";
        assert!(say(Kind::ConfigFilter, hadoop).contains("use external"));
        assert!(say(Kind::Source, "org.apache.flume.source.scribe.ScribeSource").contains("send with"));
        assert_eq!(component(Kind::Source, "netcta"), None);
    }
}
