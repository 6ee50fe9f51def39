//! The agent's channels: opening them, again and again if need be, and letting go of those that leave the
//! configuration.
//!
//! A channel that goes is [`Gone`] only when the sources that wrote to it have stored what they had and its sinks, which
//! stay as they were, have delivered everything. (Refusing such a reload until it has drained was rejected: sources
//! would have to be switched away from it first, and back, with events in the new channels already.) Belongs to the
//! main thread.

use super::sinks::RunningSink;
use super::unharmed::unharmed;
use crate::channel::{Channel, ChannelParts};
use crate::clock::Backoff;
use crate::config::Planned;
use crate::counters::{ChannelCounters, State};
use crate::outage::Outage;
use crate::registry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When a channel that is being opened is asked again.
const SOON: Duration = Duration::from_millis(100);

pub struct OpenedChannel {
    pub planned: Planned,
    pub channel: Arc<dyn Channel>,
    /// When to try again to open it, if that failed.
    retry: Option<(Instant, Backoff)>,
    outage: Outage,
}

impl OpenedChannel {
    /// Built, and not opened yet.
    pub fn new(planned: &Planned, heap: usize) -> Result<OpenedChannel, String> {
        let spec = registry::channel(&planned.context).ok_or("a channel type without a build function")?;
        let counters = ChannelCounters::new(&planned.name);
        let parts = ChannelParts { counters, heap };
        let building = format!("building channel {}", planned.name);
        let channel = unharmed(&building, || (spec.build)(&planned.context, parts))?;
        Ok(OpenedChannel { planned: planned.clone(), channel, retry: None, outage: Outage::default() })
    }

    /// The same channel with other settings.
    pub fn adapted(mut self, planned: &Planned, heap: usize) -> OpenedChannel {
        if !self.channel.adapt(&planned.context, heap) {
            log::warn!("channel {}: changes take effect at the next start", self.name());
        }
        self.planned = planned.clone();
        self
    }

    pub fn name(&self) -> &str {
        &self.planned.name
    }

    pub fn retry_at(&self) -> Option<Instant> {
        self.retry.as_ref().map(|(at, _)| *at)
    }

    /// Opens it, if it is not open and its time for a try has come.
    pub fn try_open(&mut self, now: Instant) {
        let health = &self.channel.counters().health;
        let mut backoff = match &self.retry {
            Some((at, _)) if *at > now => return,
            Some((_, backoff)) => backoff.clone(),
            None if health.state() == State::Started => return,
            None => Backoff::new(Duration::from_millis(200), Duration::from_secs(5)),
        };
        let opened = unharmed("opening it", || self.channel.open()).unwrap_or_else(Err);
        self.retry = match opened {
            Ok(true) => {
                health.set(State::Started);
                let after = self.outage.over(now).unwrap_or_default();
                log::info!("channel {} started{after}", self.planned.name);
                None
            }
            // It says itself how far it is.
            Ok(false) => Some((now + SOON, backoff)),
            Err(why) => {
                health.set(State::Failed(why.clone()));
                let pause = backoff.next_pause();
                if let Some(count) = self.outage.failed(&why, now) {
                    let name = &self.planned.name;
                    log::error!("channel {name}: {why}{count}; next try in {} ms", pause.as_millis());
                }
                Some((now + pause, backoff))
            }
        };
    }

    /// Ends it; returns how many events are lost with it.
    pub fn close(&self) -> usize {
        let n = self.channel.close();
        if n > 0 {
            log::error!("channel {}: {n} events were not delivered and are lost", self.name());
        }
        self.channel.counters().health.set(State::Stopped);
        n
    }
}

/// A channel on its way out, with its sinks.
pub struct Gone {
    pub channel: OpenedChannel,
    pub sinks: Vec<RunningSink>,
    draining: bool,
}

impl Gone {
    pub fn new(channel: OpenedChannel, sinks: Vec<RunningSink>) -> Gone {
        Gone { channel, sinks, draining: false }
    }

    /// Ends what can be ended; `true` when all of it is over. `is_written`: whether sources of earlier configurations
    /// may still bring something.
    pub fn tend(&mut self, is_written: impl Fn(&Arc<dyn Channel>) -> bool) -> bool {
        self.sinks.iter_mut().for_each(RunningSink::try_start);
        let channel = &self.channel.channel;
        if is_written(channel) {
            return false;
        }
        // Without sinks nobody will ever take what is in it.
        if channel.backlog() > 0 && !self.sinks.is_empty() {
            return false;
        }
        if !std::mem::replace(&mut self.draining, true) {
            self.sinks.iter().for_each(RunningSink::drain);
        }
        if !self.sinks.iter().all(RunningSink::is_over) {
            return false;
        }
        let (name, was_open) = (self.channel.name().to_owned(), self.channel.channel.is_open());
        let left = if was_open { self.channel.channel.backlog() } else { 0 };
        match (self.channel.close(), was_open, left) {
            (0, true, 0) => log::info!("channel {name} is empty and gone"),
            (0, true, n) => {
                log::warn!("channel {name} is gone; {n} events stay in its files, as no sink takes them")
            }
            (0, false, _) => {
                log::warn!("channel {name} is gone without having been open: what its files hold stays there")
            }
            _ => {}
        }
        true
    }
}
