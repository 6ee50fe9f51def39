// What Flume agents say to each other over Thrift, for thriftpy2.
enum Status { OK = 0, FAILED = 1, ERROR = 2, UNKNOWN = 3 }

struct ThriftFlumeEvent {
  1: required map<string, string> headers
  2: required binary body
}

service ThriftSourceProtocol {
  Status append(1: ThriftFlumeEvent event)
  Status appendBatch(1: list<ThriftFlumeEvent> events)
  // No agent has this one.
  Status forget(1: string name)
}
