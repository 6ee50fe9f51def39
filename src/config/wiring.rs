//! What refers to what: from the sorted file to a plan in which every name leads somewhere.
//!
//! Decides severity. An error is what Flume drops a component for or dies of, in the agent that runs; all else
//! warns. One mistake makes one finding: what only follows from it (a sink on a channel that has an error) goes
//! without a word, but is not in the plan either. `judge` looks at single components, `flow` at sources and
//! sinks, `selectors` at what a source's selector names, `groups` at sink groups. Called by the thread that starts
//! or reloads the agent; no locks.

/// Said of a name with a comma in it.
const NO_COMMAS: &str = " (names are separated by white space, not by commas)";

mod flow;
mod groups;
mod judge;
mod selectors;
#[cfg(test)]
mod tests;

use super::context::{Catalog, Context, Doubtful};
use super::filter;
use super::interpolate::{interpolate, Lookups};
use super::nearest::nearest;
use super::options::RunOptions;
use super::plan::{Plan, Planned};
use super::problem::{Place, Problem, Problems};
use super::properties;
use super::spec::{Declared, Key, Kind};
use super::tree::{Agent, Group, Tree};
use judge::Judge;
use std::sync::Arc;

/// One configuration file, or what a URI gave.
#[derive(Clone)]
pub struct Text {
    /// Its name in messages.
    pub file: Arc<str>,
    pub bytes: Vec<u8>,
}

/// From the bytes of all files, later ones over earlier ones, to the plan of one agent. `-Dflumed.<key>` goes over
/// the files' `<agent>.flumed.<key>`.
pub fn load(
    texts: &[Text],
    agent: &str,
    options: &RunOptions,
    catalog: &dyn Catalog,
    agent_declared: &'static Declared,
    problems: &mut Problems,
) -> Option<Plan> {
    let mut of_lines = Problems::default();
    let parse = |t: &Text| properties::parse(&t.file, &t.bytes, &mut of_lines);
    let mut found: Vec<_> = texts.iter().flat_map(parse).collect();
    if of_lines.errors() > 0 {
        // What does not follow the grammar is no properties file to Java, and nothing of it would run.
        problems.absorb(of_lines, |_| true);
        return None;
    }
    let mut unresolved = Problems::default();
    interpolate(&mut found, &Lookups::new(&options.properties), &mut unresolved);
    let files: Vec<&str> = texts.iter().map(|t| &*t.file).collect();
    let mut tree = Tree::new(files.join(", ").into(), found, &mut of_lines);
    tree.assign(unresolved, &mut of_lines);
    // Without any agent this is some other file: its lines are not worth a word.
    let is_other_file = tree.agent(agent).is_none() && !tree.agents.iter().any(Agent::is_defined);
    problems.absorb(of_lines, |_| !is_other_file);
    if let Some(agent) = tree.agent_mut(agent) {
        let place = Place { file: Arc::from("command line"), line: 0 };
        agent.system = options.properties.clone();
        for (name, value) in &options.properties {
            if let Some(key) = name.strip_prefix("flumed.") {
                agent.set(key, value, place.clone());
            }
        }
    }
    resolve(&tree, agent, catalog, agent_declared, problems)
}

/// The plan of the agent named, without the components that have errors; `None` when nothing could run.
pub fn resolve(
    tree: &Tree,
    agent_name: &str,
    catalog: &dyn Catalog,
    agent_declared: &'static Declared,
    problems: &mut Problems,
) -> Option<Plan> {
    let Some(agent) = tree.agent(agent_name) else {
        problems.error(&Place { file: tree.file.clone(), line: 0 }, "", no_such_agent(tree, agent_name));
        return None;
    };
    for other in tree.agents.iter().filter(|a| a.name != agent_name) {
        summarize(other, catalog, agent_declared, problems);
    }
    plan(agent, true, catalog, agent_declared, problems)
}

fn no_such_agent(tree: &Tree, name: &str) -> String {
    let names: Vec<&str> = tree.agents.iter().filter(|a| a.is_defined()).map(|a| a.name.as_str()).collect();
    if names.is_empty() {
        return format!("no agent named {name}: the file defines none at all");
    }
    let hint = nearest(name, names.iter().copied()).map(|n| format!("; did you mean {n}?"));
    format!("no agent named {name}; the file has {}{}", names.join(", "), hint.unwrap_or_default())
}

/// One line about an agent that does not run here.
fn summarize(
    other: &Agent,
    catalog: &dyn Catalog,
    agent_declared: &'static Declared,
    problems: &mut Problems,
) {
    let mut own = Problems::default();
    plan(other, false, catalog, agent_declared, &mut own);
    if other.is_only_referred_to() {
        return;
    }
    if !other.is_defined() {
        let what =
            "does not look like an agent: ignored, none of its properties names channels, sources or sinks";
        problems.warning(&other.place, &other.name, what);
    } else if own.errors() + own.warnings() > 0 {
        let what = format!("this agent, which is not the one to run, has {}", own.summary());
        problems.warning(&other.place, &other.name, what);
    }
}

/// `runs`: this is the agent that runs, so its config filters may.
fn plan(
    agent: &Agent,
    runs: bool,
    catalog: &dyn Catalog,
    agent_declared: &'static Declared,
    problems: &mut Problems,
) -> Option<Plan> {
    for p in agent.findings.sorted() {
        problems.push(p.clone());
    }
    let mut judge = Judge::new(agent, catalog, problems);
    judge.config_filters(runs);
    let settings = judge.settings(agent_declared);
    let names = judge.names();
    let channels: Vec<Planned> = names.channels.iter().flatten().filter_map(|n| judge.channel(n)).collect();
    let mut flow = flow::Flow::new(&names, &channels);
    let sources: Vec<_> = names.sources.iter().flatten().filter_map(|n| flow.source(&mut judge, n)).collect();
    let sinks: Vec<_> = names.sinks.iter().flatten().filter_map(|n| flow.sink(&mut judge, n)).collect();
    flow.unattached(&mut judge);
    let sinks = groups::join(&mut judge, &names, sinks);
    judge.unlisted(&names);

    let is_used = |c: &Planned| {
        sources.iter().any(|s| s.channels.contains(&c.name)) || sinks.iter().any(|s| s.channel == c.name)
    };
    let channels: Vec<Planned> = channels.into_iter().filter(is_used).collect();
    let has_work = !channels.is_empty();
    has_work.then_some(Plan { agent: agent.name.clone(), settings: settings?, channels, sources, sinks })
}
