"""HTTP with peers that are not ours. `clients` and `statuses` serve the comparison with Flume's http source too
(`flume.posted`), `hops` runs the cases of flumed's own source and sink, `record` writes tests/data/http."""
