//! What Flume has and flumed has not: types that users may have in their files, and what to say of them.

use crate::config::Kind;

/// Types of this version's future, by short name or the end of the class name.
const LATER: &[(Kind, &[&str])] = &[
    (Kind::Source, &["avro", "thrift", "exec", "spooldir", "taildir", "http", "jms", "netcatudp"]),
    (Kind::Source, &["multiport_syslogtcp", "KafkaSource"]),
    (Kind::Channel, &["file", "spillablememory", "KafkaChannel"]),
    (Kind::Sink, &["avro", "thrift", "hdfs", "http", "KafkaSink"]),
    (Kind::Interceptor, &["timestamp", "host", "static", "remove_header", "search_replace", "regex_filter"]),
    (Kind::Interceptor, &["regex_extractor", "UUIDInterceptor"]),
    (Kind::Selector, &["multiplexing", "load_balancing"]),
    (Kind::Serializer, &["avro_event", "AvroEventSerializer"]),
];

/// Types that flumed will not have, and what to use instead.
const NEVER: &[(Kind, &[&str], &str)] = &[
    (Kind::Source, &["ScribeSource"], "send with Avro, Thrift or HTTP"),
    (
        Kind::Source,
        &["AvroLegacySource", "ThriftLegacySource"],
        "Flume 0.9 senders can go through a Flume agent",
    ),
    (Kind::Source, &["TwitterSource"], "its API is gone"),
    (Kind::Channel, &["jdbc", "JdbcChannel"], "use a file channel"),
    (Kind::Channel, &["PseudoTxnMemoryChannel"], "use memory"),
    (Kind::Sink, &["irc", "IRCSink"], "use http or file_roll"),
    (Kind::Sink, &["elasticsearch", "ElasticSearchSink"], "Flume itself dropped it; use http"),
    (
        Kind::Sink,
        &["hbase", "asynchbase", "hbase2", "HBaseSink", "AsyncHBaseSink", "HBase2Sink"],
        "use hdfs or Kafka",
    ),
    (Kind::Sink, &["hive", "HiveSink", "KuduSink", "DatasetSink"], "use hdfs or Kafka"),
    (Kind::Sink, &["morphline_solr", "MorphlineSolrSink"], "morphlines run in a JVM only"),
    (Kind::Interceptor, &["MorphlineInterceptor"], "morphlines run in a JVM only"),
];

/// Class names of aliased types whose last part is not the alias.
const CLASSES: &[(Kind, &str, &str)] = &[
    (Kind::Source, "MultiportSyslogTCPSource", "multiport_syslogtcp"),
    (Kind::Source, "SpoolDirectorySource", "spooldir"),
    (Kind::Sink, "HDFSEventSink", "hdfs"),
    (Kind::Channel, "SpillableMemoryChannel", "spillablememory"),
    (Kind::Selector, "MultiplexingChannelSelector", "multiplexing"),
    (Kind::Selector, "LoadBalancingChannelSelector", "load_balancing"),
    (Kind::Interceptor, "RemoveHeaderInterceptor", "remove_header"),
    (Kind::Interceptor, "SearchAndReplaceInterceptor", "search_replace"),
    (Kind::Interceptor, "RegexFilteringInterceptor", "regex_filter"),
    (Kind::Interceptor, "RegexExtractorInterceptor", "regex_extractor"),
];

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
    own_class.then(|| format!("{type_name} is a Java class; flumed runs components written in Rust only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_are_told_from_strangers() {
        let say = |k, t: &str| component(k, t).unwrap_or_default();
        assert!(say(Kind::Sink, "hbase2").contains("use hdfs or Kafka"));
        assert!(say(Kind::Sink, "org.apache.flume.sink.hdfs.HDFSEventSink").contains("yet"));
        assert!(say(Kind::Source, "org.apache.flume.source.AvroSource").contains("yet"));
        assert!(say(Kind::Channel, "FILE").contains("yet"));
        assert!(say(Kind::Channel, "org.apache.flume.channel.file.FileChannel").contains("yet"));
        let host = "org.apache.flume.interceptor.HostInterceptor$Builder";
        assert!(say(Kind::Interceptor, host).contains("yet"));
        assert!(say(Kind::Source, "com.example.MySource").contains("Java class"));
        assert_eq!(component(Kind::Source, "netcta"), None);
    }
}
