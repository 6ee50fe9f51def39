"""flumed's http sink in front of flumed's and Apache Flume's http source."""
CASES = []
