//! A program that runs agents: flumed's components, those that it adds, and the command line.
//!
//! `flumed` itself is the one that adds none. Belongs to the main thread.

use crate::channel::ChannelSpec;
use crate::component::{HandlerSpec, ProcessorSpec, SinkSpec, SourceSpec};
use crate::config::{ConfigFilterSpec, Kind, Spec};
use crate::interceptor::{ExtractorSerializerSpec, InterceptorSpec};
use crate::lifecycle::FAILURE;
use crate::registry::Components;
use crate::selector::SelectorSpec;
use crate::serializer::SerializerSpec;
use crate::sink::file_roll::PathManagerSpec;
use crate::{agent, cli};
use std::process::ExitCode;

/// The command line of flumed, with components of one's own beside its own.
///
/// ```no_run
/// # use flumed::component::{Sink, SinkError, SinkParts, SinkSpec};
/// # use flumed::config::{Context, Declared, Kind, Spec};
/// # fn build(_: &Context, _: SinkParts) -> Box<dyn Sink> { unimplemented!() }
/// static PAGER: SinkSpec = Spec::new(Declared::new(Kind::Sink, "pager", "Wakes people"), build);
///
/// fn main() -> std::process::ExitCode {
///     flumed::Flumed::new().sink(&PAGER).main()
/// }
/// ```
///
/// An added component goes by its short name and its class in configurations, and appears in `components`, in `check`, in
/// suggestions and on reload as flumed's own do. A name or class may be one that flumed knows and does not have (`hive`,
/// `com.example.X`), but none that is taken: by flumed, or by one added before. That, and whatever else is wrong with a
/// declaration, is told by [`main`](Flumed::main) before it does anything, whatever the command: exit code 1.
#[derive(Default)]
pub struct Flumed {
    components: Components,
    wrong: Vec<String>,
}

impl Flumed {
    /// With flumed's own components only.
    pub fn new() -> Flumed {
        Flumed::default()
    }

    pub fn source(self, spec: &'static SourceSpec) -> Flumed {
        self.with(Kind::Source, spec)
    }

    pub fn channel(self, spec: &'static ChannelSpec) -> Flumed {
        self.with(Kind::Channel, spec)
    }

    pub fn sink(self, spec: &'static SinkSpec) -> Flumed {
        self.with(Kind::Sink, spec)
    }

    pub fn processor(self, spec: &'static ProcessorSpec) -> Flumed {
        self.with(Kind::Processor, spec)
    }

    pub fn interceptor(self, spec: &'static InterceptorSpec) -> Flumed {
        self.with(Kind::Interceptor, spec)
    }

    pub fn selector(self, spec: &'static SelectorSpec) -> Flumed {
        self.with(Kind::Selector, spec)
    }

    pub fn serializer(self, spec: &'static SerializerSpec) -> Flumed {
        self.with(Kind::Serializer, spec)
    }

    /// A handler of the http source.
    pub fn http_handler(self, spec: &'static HandlerSpec) -> Flumed {
        self.with(Kind::HttpHandler, spec)
    }

    pub fn config_filter(self, spec: &'static ConfigFilterSpec) -> Flumed {
        self.with(Kind::ConfigFilter, spec)
    }

    /// What names the files of the file_roll sink.
    pub fn path_manager(self, spec: &'static PathManagerSpec) -> Flumed {
        self.with(Kind::PathManager, spec)
    }

    /// A serializer of the regex_extractor interceptor.
    pub fn extractor_serializer(self, spec: &'static ExtractorSerializerSpec) -> Flumed {
        self.with(Kind::ExtractorSerializer, spec)
    }

    fn with<F: Send + Sync>(mut self, kind: Kind, spec: &'static Spec<F>) -> Flumed {
        self.wrong.extend(self.components.add(kind, spec).err());
        self
    }

    /// Does what the program's arguments say: runs an agent until it is told to stop, checks a configuration, lists
    /// components. Returns the exit code that `flumed help` names. Signals are the agent's while it runs, and so is the
    /// logger of the crate `log`.
    pub fn main(self) -> ExitCode {
        if let Err(wrong) = self.components() {
            wrong.iter().for_each(|w| cli::complain(&format!("Error: {w}")));
            return FAILURE.into();
        }
        // As static as its specs: the process ends with what uses it.
        let catalog = Box::leak(Box::new(self.components));
        let args = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
        let hooks = cli::Hooks { catalog, agent_declared: &agent::DECLARED, run: agent::run };
        cli::main(args, &hooks).into()
    }

    /// The components there are, or all that is wrong with those that were added.
    pub(crate) fn components(&self) -> Result<&Components, &[String]> {
        match self.wrong.is_empty() {
            true => Ok(&self.components),
            false => Err(&self.wrong),
        }
    }
}

#[cfg(test)]
mod tests;
