//! Properties sorted into agents, their name lists and their components, by Flume's rules for names.
//!
//! Judges names only; what a component's keys mean is for `wiring` and `context`. What is wrong with an agent's
//! names is kept with that agent, because only the agent that runs is reported in full. Messages name keys and
//! never values: what stands under a misspelt key may be a password. One thread, no locks.

use super::nearest::nearest;
use super::problem::{Place, Problems, Severity};
use super::property::Property;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The five lists an agent has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Group {
    Channels,
    Sources,
    Sinks,
    SinkGroups,
    ConfigFilters,
}

impl Group {
    pub const ALL: [Group; 5] =
        [Group::Channels, Group::Sources, Group::Sinks, Group::SinkGroups, Group::ConfigFilters];

    /// The second word of a property name; exact case, as in Flume.
    pub fn word(self) -> &'static str {
        match self {
            Group::Channels => "channels",
            Group::Sources => "sources",
            Group::Sinks => "sinks",
            Group::SinkGroups => "sinkgroups",
            Group::ConfigFilters => "configfilters",
        }
    }

    fn of(word: &str) -> Option<Group> {
        Group::ALL.into_iter().find(|g| g.word() == word)
    }
}

/// Everything a configuration says, agent by agent, in the order of the file.
#[derive(Debug)]
pub struct Tree {
    pub file: Arc<str>,
    pub agents: Vec<Agent>,
}

/// One agent's part of the file.
#[derive(Debug)]
pub struct Agent {
    pub name: String,
    /// Where it is first mentioned.
    pub place: Place,
    /// `<agent>.flumed.<key>`, named `<key>`.
    pub settings: Vec<Property>,
    /// Java's system properties, from the command line.
    pub system: BTreeMap<String, String>,
    /// What is wrong with the names of its properties.
    pub findings: Problems,
    lists: BTreeMap<Group, Property>,
    parts: BTreeMap<Group, BTreeMap<String, Vec<Property>>>,
    /// Whether it has a property that no other refers to.
    has_unused: bool,
}

impl Agent {
    fn new(name: &str, place: &Place) -> Agent {
        Agent {
            name: name.to_owned(),
            place: place.clone(),
            settings: Vec::new(),
            system: BTreeMap::new(),
            findings: Problems::default(),
            lists: BTreeMap::new(),
            parts: BTreeMap::new(),
            has_unused: false,
        }
    }

    /// The property that lists the names of a group, such as `a1.sources`.
    pub fn list(&self, group: Group) -> Option<&Property> {
        self.lists.get(&group)
    }

    /// The properties of a component, names cut to its own keys; listed or not.
    pub fn part(&self, group: Group, name: &str) -> Option<&[Property]> {
        self.parts.get(&group)?.get(name).map(Vec::as_slice)
    }

    /// The names of all components that have properties, listed or not.
    pub fn part_names(&self, group: Group) -> impl Iterator<Item = &str> {
        self.parts.get(&group).into_iter().flat_map(|m| m.keys().map(String::as_str))
    }

    /// Whether the file defines it, rather than having properties of something else that have a dot too.
    pub fn is_defined(&self) -> bool {
        !self.lists.is_empty()
    }

    /// Whether its properties are there for others to refer to, and is no agent at all.
    pub fn is_only_referred_to(&self) -> bool {
        !self.is_defined() && !self.has_unused
    }

    /// Sets one of the agent's own keys, over what the file says.
    pub fn set(&mut self, key: &str, value: &str, place: Place) {
        self.settings.retain(|p| p.name != key);
        self.settings.push(Property::new(key, value, place));
    }

    fn add(&mut self, key: &str, p: Property) {
        if let Some(group) = Group::of(key) {
            self.lists.insert(group, p);
            return;
        }
        let full = p.name.clone();
        let (first, rest) = key.split_once('.').unwrap_or((key, ""));
        if first == "flumed" && !rest.is_empty() {
            self.settings.push(Property { name: rest.to_owned(), ..p });
            return;
        }
        let Some(group) = Group::of(first) else {
            if p.is_used {
                return;
            }
            let known = Group::ALL.iter().map(|g| g.word()).chain(["flumed"]);
            let hint = nearest(first, known).map_or(
                "; known are channels, sources, sinks, sinkgroups, configfilters, flumed".into(),
                |n| format!("; did you mean {}.{n}{}?", self.name, if n == "flumed" { ".<key>" } else { "" }),
            );
            self.findings.warning(&p.place, full, format!("unknown property: ignored{hint}"));
            return;
        };
        match rest.split_once('.') {
            Some((part, own)) if !part.is_empty() && !own.is_empty() => {
                let parts = self.parts.entry(group).or_default();
                let properties = parts.entry(part.to_owned()).or_default();
                properties.push(Property { name: own.to_owned(), ..p });
            }
            _ => {
                let form = format!("{}.{}.<name>.<key>", self.name, group.word());
                self.findings.warning(&p.place, full, format!("ignored: expected the form {form}"));
            }
        }
    }
}

impl Tree {
    /// Sorts what `properties::parse` found. What belongs to no agent goes to `problems`.
    pub fn new(file: Arc<str>, properties: Vec<Property>, problems: &mut Problems) -> Tree {
        let mut tree = Tree { file, agents: Vec::new() };
        for (p, earlier) in last_of_each(properties) {
            let (agent, key) = p.name.split_once('.').unwrap_or(("", &p.name));
            if agent.is_empty() {
                duplicates(&p, &earlier, problems);
                if p.is_used {
                    continue;
                }
                problems.warning(&p.place, p.name.clone(), "ignored: no agent name and dot before it");
                continue;
            }
            let key = key.to_owned();
            let agent = tree.agent_or_new(agent, &p.place);
            duplicates(&p, &earlier, &mut agent.findings);
            agent.has_unused |= !p.is_used;
            if p.value.is_empty() {
                agent.findings.warning(&p.place, p.name, "ignored: its value is empty");
            } else if key.is_empty() {
                agent.findings.warning(&p.place, p.name, "ignored: nothing after the agent's name");
            } else {
                agent.add(&key, p);
            }
        }
        tree
    }

    /// Gives findings about values to the agents whose properties they are; what is fatal to all goes to `problems`.
    pub fn assign(&mut self, findings: Problems, problems: &mut Problems) {
        for p in findings.sorted() {
            let owner = p.key.split_once('.').and_then(|(agent, _)| self.agent_mut(agent));
            match owner {
                Some(agent) if p.severity != Severity::Error => agent.findings.push(p.clone()),
                _ => problems.push(p.clone()),
            }
        }
    }

    pub fn agent(&self, name: &str) -> Option<&Agent> {
        self.agents.iter().find(|a| a.name == name)
    }

    pub fn agent_mut(&mut self, name: &str) -> Option<&mut Agent> {
        self.agents.iter_mut().find(|a| a.name == name)
    }

    fn agent_or_new(&mut self, name: &str, place: &Place) -> &mut Agent {
        let at = self.agents.iter().position(|a| a.name == name).unwrap_or_else(|| {
            self.agents.push(Agent::new(name, place));
            self.agents.len() - 1
        });
        &mut self.agents[at]
    }
}

/// Every name once, with its last value and the places of the earlier ones; in the order of the last ones.
/// This comes before anything else is judged: an empty last value hides a good earlier one, as in Java.
fn last_of_each(properties: Vec<Property>) -> Vec<(Property, Vec<Place>)> {
    let mut places: HashMap<String, Vec<Place>> = HashMap::new();
    for p in &properties {
        places.entry(p.name.clone()).or_default().push(p.place.clone());
    }
    let mut last: Vec<(Property, Vec<Place>)> = Vec::new();
    for p in properties.into_iter().rev() {
        if let Some(mut all) = places.remove(&p.name) {
            all.pop();
            last.push((p, all));
        }
    }
    last.reverse();
    last
}

/// Twice in one file is a slip; a later file is there to override an earlier one.
fn duplicates(p: &Property, earlier: &[Place], problems: &mut Problems) {
    let (same, other): (Vec<&Place>, Vec<&Place>) = earlier.iter().partition(|e| e.file == p.place.file);
    if !same.is_empty() {
        let lines: Vec<String> = same.iter().map(|e| format!("line {}", e.line)).collect();
        let (said, here) = (lines.join(" and "), p.place.line);
        problems.warning(&p.place, p.name.clone(), format!("set on {said} too; line {here} holds"));
    }
    if !other.is_empty() {
        let places: Vec<String> = other.iter().map(|e| format!("{}:{}", e.file, e.line)).collect();
        problems.note(&p.place, p.name.clone(), format!("holds over {}", places.join(" and ")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::parse;
    use super::*;

    fn tree(text: &str) -> (Tree, Vec<String>) {
        let mut problems = Problems::default();
        let file: Arc<str> = Arc::from("f");
        let found = parse(&file, text.as_bytes(), &mut problems);
        let tree = Tree::new(file, found, &mut problems);
        let mut said: Vec<String> = problems.sorted().iter().map(|p| p.to_string()).collect();
        for a in &tree.agents {
            said.extend(a.findings.sorted().iter().map(|p| p.to_string()));
        }
        (tree, said)
    }

    #[test]
    fn sorts_lists_components_and_own_keys() {
        let (t, said) = tree(
            "a1.sources = r2 r1\na1.sources.r1.type = x\na1.sources.r1.headers.g1.k = v\na1.flumed.x.y=1\n\
             a2.channels=c",
        );
        assert!(said.is_empty(), "{said:?}");
        let a = t.agent("a1").unwrap();
        assert_eq!(a.list(Group::Sources).unwrap().value, "r2 r1");
        let names: Vec<_> =
            a.part(Group::Sources, "r1").unwrap().iter().map(|p| (p.name.as_str(), p.place.line)).collect();
        assert_eq!(names, [("type", 2), ("headers.g1.k", 3)]);
        assert_eq!((a.settings[0].name.as_str(), t.agents.len()), ("x.y", 2));
    }

    #[test]
    fn ignores_with_a_warning_that_names_no_value() {
        let (t, said) = tree(
            "PORT = hush\n.x = hush\na1. = hush\na1.sources.r1 = hush\na1.sources.r1.x =\na1.sources..k = hush\n\
             a1.sorces = hush\na1.Sinks.k.password = hush\na1.gizmo = hush\na1.flumed = hush",
        );
        assert_eq!(
            said,
            [
                "f:1: PORT: warning: ignored: no agent name and dot before it",
                "f:2: .x: warning: ignored: no agent name and dot before it",
                "f:3: a1.: warning: ignored: nothing after the agent's name",
                "f:4: a1.sources.r1: warning: ignored: expected the form a1.sources.<name>.<key>",
                "f:5: a1.sources.r1.x: warning: ignored: its value is empty",
                "f:6: a1.sources..k: warning: ignored: expected the form a1.sources.<name>.<key>",
                "f:7: a1.sorces: warning: unknown property: ignored; did you mean a1.sources?",
                "f:8: a1.Sinks.k.password: warning: unknown property: ignored; did you mean a1.sinks?",
                "f:9: a1.gizmo: warning: unknown property: ignored; known are channels, sources, sinks, \
                 sinkgroups, configfilters, flumed",
                "f:10: a1.flumed: warning: unknown property: ignored; did you mean a1.flumed.<key>?",
            ]
        );
        assert!(!t.agent("a1").unwrap().is_defined());
    }

    #[test]
    fn last_of_duplicates_holds_and_all_lines_are_named() {
        let (t, said) = tree("a.sources=r1\na.sinks=k\na.sources=r2\na.sources=r3\na.sinks=");
        assert_eq!(
            said,
            [
                "f:4: a.sources: warning: set on line 1 and line 3 too; line 4 holds",
                "f:5: a.sinks: warning: set on line 2 too; line 5 holds",
                "f:5: a.sinks: warning: ignored: its value is empty",
            ]
        );
        assert_eq!(t.agent("a").unwrap().list(Group::Sources).unwrap().value, "r3");
        assert!(t.agent("a").unwrap().list(Group::Sinks).is_none());
    }
}
