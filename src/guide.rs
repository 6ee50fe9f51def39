//! A guide to components of one's own. It holds no code.
//!
//! flumed runs Flume's configurations; whatever such a configuration names by a type or a class can be yours: a Rust type
//! that implements a trait of this library, declared in a [`Spec`]. A program registers its specs with [`Flumed`] and calls
//! the same command line. That is one binary, with flumed's components and yours.
//!
//! | to add | trait | spec | called by |
//! |---|---|---|---|
//! | a source that is asked | [`PollableSource`] | [`SourceSpec`] | its thread, `source:<name>` |
//! | a source with connections | [`Protocol`], [`Session`] | [`SourceSpec`] | an event loop's thread, `loop:<n>` |
//! | a source with datagrams | [`DatagramProtocol`] | [`SourceSpec`] | an event loop's thread |
//! | a handler of the http source | [`HttpHandler`] | [`HandlerSpec`] | an event loop's thread, or a pool's |
//! | an interceptor | [`Interceptor`] | [`InterceptorSpec`] | who delivers: the source's thread, the loop's, or a pool's |
//! | a selector | [`Selector`] | [`SelectorSpec`] | as interceptors |
//! | a channel | [`Channel`] | [`ChannelSpec`] | all of them at once |
//! | a sink | [`Sink`] | [`SinkSpec`] | its thread, `sink:<name>` |
//! | a serializer | [`Serializer`] | [`SerializerSpec`] | the thread of its sink |
//! | a sink processor | [`Processor`] | [`ProcessorSpec`] | threads of the group's sinks, one at a time |
//! | a config filter | [`ConfigFilter`] | [`ConfigFilterSpec`] | the thread that loads the configuration |
//!
//! `etc/extension` in flumed's repository is a program that adds one of most of these; copy it to begin with yours. The
//! examples below are whole, and run as tests of this library.
//!
//! # A first interceptor
//!
//! A component is a type, its settings in a declaration, and a function that builds it from checked settings.
//!
//! ```
//! use flumed::config::{Context, Declared, Default, Key, Kind, Spec, Type};
//! use flumed::event::Batch;
//! use flumed::interceptor::{Interceptor, InterceptorSpec};
//!
//! const KEYS: &[Key] = &[Key::new("length", Type::Int(0, 1 << 20), Default::Is("80"), "bytes that stay")];
//!
//! static SHORTEN: InterceptorSpec = Spec::new(
//!     Declared::new(Kind::Interceptor, "shorten", "Cuts bodies off")
//!         .class("com.example.ShortenInterceptor$Builder")
//!         .keys(&[KEYS]),
//!     |ctx, _counters| Box::new(Shorten { length: ctx.size("length") }),
//! );
//!
//! struct Shorten {
//!     length: usize,
//! }
//!
//! impl Interceptor for Shorten {
//!     fn intercept(&self, batch: &mut Batch) {
//!         for i in 0..batch.len() {
//!             let body = batch.body_span(i);
//!             if body.len() > self.length {
//!                 // A part of what is there: nothing is copied.
//!                 batch.set_body(i, body.part(0, self.length));
//!             }
//!         }
//!     }
//! }
//!
//! // In main: flumed::Flumed::new().interceptor(&SHORTEN).main()
//!
//! // A test of it:
//! use flumed::testing::{push, settings, shown};
//! let settings = settings(&flumed::Flumed::new(), &SHORTEN.declared, "length = 3").unwrap();
//! let interceptor = (SHORTEN.build)(&settings, &flumed::counters::SourceCounters::new("r1"));
//! let mut batch = Batch::new();
//! push(&mut batch, &[("host", "a")], "hello");
//! interceptor.intercept(&mut batch);
//! assert_eq!(shown(&batch), ["host=a: hel"]);
//! ```
//!
//! In a configuration: `a1.sources.r1.interceptors.i1.type = shorten`, or the class.
//!
//! Events travel in a [`Batch`]: bodies and header values are spans of a few shared buffers. An interceptor changes a batch
//! in place ([`Batch::set_body`], [`Batch::set_header`]), drops events ([`Batch::retain`]), or stores new bytes
//! ([`Batch::store`]). It cannot fail: what it can do nothing with it passes on. Header names are numbers, [`event::Key`];
//! intern them when the component is built, not for each event.
//!
//! # Keys, and what is checked
//!
//! A [`Key`] has a name, a [`Type`], a [`Default`] and a line of meaning, which `components` prints. All that a file says
//! is parsed before anything is built: numbers have their bounds, words are of their list, files of several mistakes are
//! told at once with their lines. So [`Context`]'s getters cannot fail: asking for a key that is not declared, or as another
//! type, is a mistake in the code and panics; a test that builds the component with all its keys finds it.
//!
//! - [`Declared::check`]: what no key shows by itself. It names the key at fault, and stops the start. Keep it pure: it runs
//!   for `check` on any machine. What hangs on this machine belongs to `start`.
//! - [`Declared::advice`]: settings that are right and perhaps not meant: a warning.
//! - [`Key::ignored`]: a key that exists elsewhere and means nothing here: accepted, and told.
//! - [`Key::fixed`]: a key that a channel which runs cannot change.
//! - [`Type::Component`]: a part with a type and keys of its own: `ctx.component("serializer")` are its settings, and
//!   [`serializer::build`] makes it, flumed's or anybody's.
//! - Values of keys with `password`, `secret`, `token` or the like in their names are in no message of flumed. Keep them out of
//!   yours.
//!
//! # A source that is asked
//!
//! Its thread polls it, stores what a poll brings, and polls again once all required channels have it. A full channel means
//! that nobody polls: what the source reads from holds the pressure. So a source that remembers a position moves it at the
//! next poll, and what it then forgets is stored.
//!
//! ```
//! use flumed::codec::BatchLimits;
//! use flumed::component::{Pauses, PollableSource, Polled, Source, SourceError, SourceParts, SourceSpec};
//! use flumed::config::{Context, Declared, Kind, Spec};
//! use flumed::event::{Batch, Body};
//! use std::time::Duration;
//!
//! static COUNTDOWN: SourceSpec =
//!     Spec::new(Declared::new(Kind::Source, "countdown", "Three, two, one"), build);
//!
//! fn build(_: &Context) -> Source {
//!     let pauses = Pauses { step: Duration::from_secs(1), most: Duration::from_secs(5) };
//!     Source::Polled { source: Box::new(Countdown { left: 3 }), pauses }
//! }
//!
//! struct Countdown {
//!     left: u32,
//! }
//!
//! impl PollableSource for Countdown {
//!     fn start(&mut self, _: &SourceParts) -> Result<(), SourceError> {
//!         Ok(()) // opens files, connects; an error is tried again, with growing pauses
//!     }
//!
//!     fn poll(&mut self, limits: BatchLimits, batch: &mut Batch) -> Result<Polled, SourceError> {
//!         while self.left > 0 && batch.len() < limits.events {
//!             batch.push(Body::Copy(self.left.to_string().as_bytes()));
//!             self.left -= 1;
//!         }
//!         Ok(if self.left > 0 { Polled::Ready } else { Polled::Finished })
//!     }
//!
//!     fn can_repeat(&self) -> bool {
//!         true // what a stop cuts off can be counted down once more
//!     }
//!
//!     fn stop(&mut self) {}
//! }
//!
//! let Source::Polled { mut source, .. } = build(
//!     &flumed::testing::settings(&flumed::Flumed::new(), &COUNTDOWN.declared, "").unwrap(),
//! ) else { panic!("it is polled") };
//! let mut batch = Batch::new();
//! let two = BatchLimits { events: 2, bytes: 1000 };
//! assert_eq!(source.poll(two, &mut batch).unwrap(), Polled::Ready);
//! assert_eq!(flumed::testing::shown(&batch), ["3", "2"]);
//! ```
//!
//! # A source with connections
//!
//! flumed's event loop owns the sockets. It accepts, reads into pooled buffers, and gives a [`Session`], of which each
//! connection has one, the bytes that are there. The session decodes them into a batch as spans of the buffer; what it does
//! not use it is offered again, in front of more bytes. The loop delivers the batch, waits for room and for the channels'
//! syncs, and only then has the session write its answer. What is answered is stored.
//!
//! ```
//! use flumed::codec::{BatchLimits, Chunk, Decoded, Then};
//! use flumed::event::{Batch, Body};
//! use flumed::net::{After, Outcome, Peer, Protocol, Session};
//!
//! /// Words, with blanks between; each is answered by + or -.
//! struct Words;
//!
//! impl Protocol for Words {
//!     fn can_refuse(&self) -> bool {
//!         true
//!     }
//!     fn open(&self, _: &Peer) -> Box<dyn Session> {
//!         Box::new(Words)
//!     }
//! }
//!
//! impl Session for Words {
//!     fn decode(&mut self, chunk: &Chunk<'_>, _eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
//!         let (bytes, mut used) = (chunk.bytes(), 0);
//!         while let Some(len) = bytes[used..].iter().position(|b| *b == b' ') {
//!             if batch.len() == limits.events {
//!                 return Decoded { used, then: Then::Full };
//!             }
//!             let segment = batch.attach(chunk.buffer);
//!             let from = chunk.from + used;
//!             batch.push(Body::At(batch.span_of(segment, from, from + len)));
//!             used += len + 1;
//!         }
//!         Decoded { used, then: Then::NeedMore }
//!     }
//!
//!     fn answer(&mut self, events: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
//!         let sign = match outcome {
//!             Outcome::Stored => b'+',
//!             Outcome::Refused(_) | Outcome::TooLarge(_) => b'-',
//!         };
//!         out.extend(std::iter::repeat_n(sign, events));
//!         After::Continue
//!     }
//! }
//!
//! // Whole, byte by byte, cut at every place, in batches of one: all the same.
//! let talk = flumed::testing::talk_cut(|| Box::new(Words), b"to be or", None);
//! assert_eq!((talk.events.join(","), talk.answers.as_str()), ("to,be".to_owned(), "++"));
//! assert_eq!(talk.unread, b"or");
//! ```
//!
//! A decoder takes bytes of anybody: it must not panic on them, nor size memory by a number that they hold. `build` gives the
//! loop [`Source::Stream`] with the endpoint; see `etc/extension/src/netstring.rs`, which also has limits, faults, and the
//! keys of TLS ([`source_tls`]). A protocol of calls, each stored whole or not at all, says [`Protocol::makes_calls`] and
//! ends each with [`Then::Call`].
//!
//! # A handler of the http source
//!
//! [`HttpHandler::handle`] makes events of one request, or gives the error that becomes the answer's status. Its keys stand
//! below the source's: `a1.sources.r1.handler = com.example.Upper`, `a1.sources.r1.handler.<key>`.
//!
//! ```
//! use flumed::codec::http::Request;
//! use flumed::codec::BatchLimits;
//! use flumed::component::{HandlerError, HttpHandler};
//! use flumed::event::{Batch, Body};
//!
//! struct Upper;
//!
//! impl HttpHandler for Upper {
//!     fn handle(&self, request: &Request<'_>, _: BatchLimits, batch: &mut Batch) -> Result<(), HandlerError> {
//!         let text = std::str::from_utf8(request.body.bytes())
//!             .map_err(|_| HandlerError::BadRequest("the body is no UTF-8".to_owned()))?;
//!         batch.push(Body::Copy(text.to_uppercase().as_bytes()));
//!         Ok(())
//!     }
//! }
//!
//! use flumed::testing::{handle, WIDE};
//! assert_eq!(handle(&Upper, "POST", "/", &[], "hello", WIDE).unwrap(), ["HELLO"]);
//! assert_eq!(handle(&Upper, "POST", "/", &[], [0xff], WIDE).unwrap_err().status(), 400);
//! ```
//!
//! # A sink
//!
//! Its thread takes a batch from the channel, has it delivered, and commits; a failure rolls the batch back, and it comes
//! again. So a destination gets every event at least once, and those of a failed call perhaps twice: take back what you
//! can. Where the fault lies decides what becomes of events that never pass: [`SinkError::events`] may make dead letters,
//! [`SinkError::destination`] never does.
//!
//! ```
//! use flumed::channel::Take;
//! use flumed::component::{Sink, SinkError, SinkParts, SinkSpec};
//! use flumed::config::{Declared, Kind, Spec};
//! use std::io::Write;
//!
//! static TO_FILE: SinkSpec = Spec::new(Declared::new(Kind::Sink, "to_file", "Lines to a file"), |ctx, _: SinkParts| {
//!     Box::new(ToFile { path: format!("{}.txt", ctx.name()), file: None })
//! });
//!
//! struct ToFile {
//!     path: String,
//!     file: Option<std::fs::File>,
//! }
//!
//! impl Sink for ToFile {
//!     fn start(&mut self) -> Result<(), SinkError> {
//!         let file = std::fs::File::create(&self.path).map_err(|e| SinkError::destination(e.to_string()))?;
//!         self.file = Some(file);
//!         Ok(())
//!     }
//!
//!     fn batch_size(&self) -> usize {
//!         100
//!     }
//!
//!     fn deliver(&mut self, batch: &Take) -> Result<(), SinkError> {
//!         let mut text = Vec::new();
//!         batch.events().for_each(|e| text.extend([e.body(), b"\n"].concat()));
//!         let file = self.file.as_mut().expect("it has started");
//!         file.write_all(&text).map_err(|e| SinkError::destination(e.to_string()))
//!     }
//!
//!     fn stop(&mut self) -> Result<(), SinkError> {
//!         self.file = None;
//!         Ok(())
//!     }
//! }
//! # let _ = &TO_FILE;
//! ```
//!
//! # The others
//!
//! - A [`Selector`] says of a shared batch which of its events go to which of the source's channels ([`Events::picked`]), and
//!   which of these are required.
//! - A [`Serializer`] puts events into an output that cannot fail. A sink of yours may have one by a key.
//! - A [`Processor`] decides which sink of a group takes next: a pure decision under a lock, with the time passed in.
//! - A [`Channel`] keeps events between sources and sinks; all its promises are with the trait, and the example has the
//!   plainest one there can be. Think twice: its faults are lost events.
//! - A [`ConfigFilter`] gives the secrets that `${f1['key']}` stands for.
//! - There are no deserializers to add yet: they make events of files, and come with the source that reads directories.
//!
//! # Threads, and what may block
//!
//! | call | may block | because |
//! |---|---|---|
//! | `build` of any component | no | it may be called several times, on the main thread too; what it needs of the machine belongs to `start` |
//! | [`Declared::check`], [`Declared::advice`] | no | they only judge settings |
//! | [`PollableSource::poll`] | until its [`Stop`] changes | a stop waits for it |
//! | [`Session`], [`DatagramProtocol`], [`Protocol`] | no | one thread serves all connections |
//! | [`Interceptor`], [`Selector`], [`HttpHandler`] | no, unless `may_block` says so | for sources on the loop they run there; with `may_block` a pool's thread calls them, in the order of the connection |
//! | [`Sink`] | yes, with a deadline of its own | it holds up its channel, and nobody else; a stop waits for it as long as `shutdownTimeout` says |
//! | [`Serializer`] | no | it only makes bytes |
//! | [`Processor`] | no | the group's lock is held |
//! | [`Channel::reserve`], [`Channel::append`] | no | the loop calls them; what takes long is the [`Ticket`]'s |
//! | [`Channel::take`] | until its time, or until `stop` is set | |
//! | [`ConfigFilter`] | yes, with a deadline | the start, or a reload, waits |
//!
//! Interceptors, selectors and handlers are shared by all connections of their source, and may be called by several threads
//! at once (`loopThreads`, the pool): state in them is atomic, or has its mutex. Sessions, sinks, serializers and pollable
//! sources have one owner.
//!
//! # Errors, and panics
//!
//! A panic is told, and costs as little as it can; but it is a mistake, not a way to say something.
//!
//! | where | an error | a panic |
//! |---|---|---|
//! | `build` | there is none: `check` has seen the settings | on the main thread: no start, a refused reload, or a try at the next; on its own thread as in `start` |
//! | `start` of a source or sink | told; tried again with growing pauses, `/healthz` names it | a new one is built and tried |
//! | [`PollableSource::poll`] | what it brought is stored, a pause, the next poll | a new one is built; what it had in hand is counted as dropped, unless [`can_repeat`](crate::component::PollableSource::can_repeat) |
//! | [`Session::decode`] | [`Then::Fail`]: what was decoded is stored and answered, then the connection ends | the connection ends; its batch is not answered |
//! | [`HttpHandler::handle`] | the status of the answer | the connection ends |
//! | [`Interceptor`], [`Selector`] | there is none | as in the session, or in the poll, that brought the batch |
//! | [`Sink::deliver`] | the batch comes again; see [`Fault`] | the batch comes again, to a new sink |
//! | [`Channel`] | by what its caller does next: [`PutError`], [`TakeError`] | as in the call of the source or sink |
//!
//! # Start, reload, stop
//!
//! Channels are opened first, then sinks and sources start; stopping goes the other way. A reload builds anew what the file
//! says otherwise: a source is told to end and the new one starts, or takes its sockets over if they are on the loop; a sink
//! finishes its batch, and the new one goes on. What has not changed is not touched. A channel may take changed settings
//! over ([`Channel::adapt`]). When the agent stops, sources first get a chance to bring what is left
//! ([`PollableSource::wind_down`]), then sinks empty what is in memory, then channels close; all of it within
//! `shutdownTimeout`.
//!
//! # Counters, and the log
//!
//! flumed counts what it sees: events received, accepted and refused, batches, connections, failures; they are in the metrics
//! under Flume's names. A component counts what only it sees, in the counters it is given ([`SourceParts`], [`SinkParts`],
//! [`ChannelParts`], the second argument of an interceptor's `build`). Names of one's own are for channels only
//! ([`ChannelCounters::set_more`]). Health is flumed's affair.
//!
//! Logs go through the crate `log`. Name the component ([`Context::name`]); do not log what is returned as an error, which
//! flumed does; and use a [`Throttle`] for what a peer can repeat.
//!
//! # Tests
//!
//! [`testing`] makes settings from lines of a properties file, feeds sessions and handlers, and shows what came of it; no
//! thread or socket is needed. For the whole: run your binary with `check` on your configurations, and in a test with port
//! 0, waiting for its log line `source <name> started, listening on <address>`.
//!
//! # The binary
//!
//! ```toml
//! [dependencies]
//! flumed = { git = "...", rev = "..." }
//! log = "0.4"
//!
//! [profile.release]
//! lto = "fat"
//! codegen-units = 1
//! ```
//!
//! `cargo build --release` gives one binary that takes flumed's commands and Flume's. For other machines, such as ARM boxes
//! without a C library of a known age, build for a musl target: `rustup target add aarch64-unknown-linux-musl`, and
//! `cargo build --release --target aarch64-unknown-linux-musl` with a C compiler for it (flumed's TLS has parts in C;
//! `default-features = false` has none). The result is static. Panics have to unwind: leave `panic = "abort"` out of the
//! profile, or the first mistake of a component ends the agent.
//!
//! # What stays as it is
//!
//! flumed is at version 0.x: a new minor version may change these traits, and says how in its CHANGELOG. Until then a key, a
//! kind or a part more breaks nobody: declarations and parts are made by functions, and traits grow by methods that have a
//! default. Modules that are not in this documentation are not for others.
//!
//! [`Batch`]: crate::event::Batch
//! [`Batch::retain`]: crate::event::Batch::retain
//! [`Batch::set_body`]: crate::event::Batch::set_body
//! [`Batch::set_header`]: crate::event::Batch::set_header
//! [`Batch::store`]: crate::event::Batch::store
//! [`Channel`]: crate::channel::Channel
//! [`Channel::adapt`]: crate::channel::Channel::adapt
//! [`Channel::append`]: crate::channel::Channel::append
//! [`Channel::reserve`]: crate::channel::Channel::reserve
//! [`Channel::take`]: crate::channel::Channel::take
//! [`ChannelCounters::set_more`]: crate::counters::ChannelCounters::set_more
//! [`ChannelParts`]: crate::channel::ChannelParts
//! [`ChannelSpec`]: crate::channel::ChannelSpec
//! [`ConfigFilter`]: crate::config::ConfigFilter
//! [`ConfigFilterSpec`]: crate::config::ConfigFilterSpec
//! [`Context`]: crate::config::Context
//! [`Context::name`]: crate::config::Context::name
//! [`DatagramProtocol`]: crate::net::DatagramProtocol
//! [`Declared::advice`]: crate::config::Declared::advice
//! [`Declared::check`]: crate::config::Declared::check
//! [`Default`]: crate::config::Default
//! [`event::Key`]: crate::event::Key
//! [`Events::picked`]: crate::event::Events::picked
//! [`Fault`]: crate::component::Fault
//! [`Flumed`]: crate::Flumed
//! [`HandlerSpec`]: crate::component::HandlerSpec
//! [`HttpHandler`]: crate::component::HttpHandler
//! [`HttpHandler::handle`]: crate::component::HttpHandler::handle
//! [`Interceptor`]: crate::interceptor::Interceptor
//! [`InterceptorSpec`]: crate::interceptor::InterceptorSpec
//! [`Key`]: crate::config::Key
//! [`Key::fixed`]: crate::config::Key::fixed
//! [`Key::ignored`]: crate::config::Key::ignored
//! [`PollableSource`]: crate::component::PollableSource
//! [`PollableSource::poll`]: crate::component::PollableSource::poll
//! [`PollableSource::wind_down`]: crate::component::PollableSource::wind_down
//! [`Processor`]: crate::component::Processor
//! [`ProcessorSpec`]: crate::component::ProcessorSpec
//! [`Protocol`]: crate::net::Protocol
//! [`Protocol::makes_calls`]: crate::net::Protocol::makes_calls
//! [`PutError`]: crate::channel::PutError
//! [`Selector`]: crate::selector::Selector
//! [`SelectorSpec`]: crate::selector::SelectorSpec
//! [`Serializer`]: crate::serializer::Serializer
//! [`SerializerSpec`]: crate::serializer::SerializerSpec
//! [`serializer::build`]: crate::serializer::build
//! [`Session`]: crate::net::Session
//! [`Session::decode`]: crate::net::Session::decode
//! [`Sink`]: crate::component::Sink
//! [`Sink::deliver`]: crate::component::Sink::deliver
//! [`SinkError::destination`]: crate::component::SinkError::destination
//! [`SinkError::events`]: crate::component::SinkError::events
//! [`SinkParts`]: crate::component::SinkParts
//! [`SinkSpec`]: crate::component::SinkSpec
//! [`Source::Stream`]: crate::component::Source::Stream
//! [`SourceParts`]: crate::component::SourceParts
//! [`SourceSpec`]: crate::component::SourceSpec
//! [`source_tls`]: crate::source_tls
//! [`Spec`]: crate::config::Spec
//! [`Stop`]: crate::lifecycle::Stop
//! [`TakeError`]: crate::channel::TakeError
//! [`testing`]: crate::testing
//! [`Then::Call`]: crate::codec::Then::Call
//! [`Then::Fail`]: crate::codec::Then::Fail
//! [`Throttle`]: crate::net::Throttle
//! [`Ticket`]: crate::channel::Ticket
//! [`Type`]: crate::config::Type
//! [`Type::Component`]: crate::config::Type::Component
