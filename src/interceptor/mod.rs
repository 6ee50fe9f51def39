//! Interceptors: change, drop or add to the events of a batch before a selector routes them.
//!
//! A chain runs once per batch, in the listed order, on the thread that delivers; each interceptor sees the
//! whole batch. A batch that waits for room afterwards is kept as the chain left it.

use crate::config::{Context, Spec};
use crate::event::Batch;

pub trait Interceptor: Send + Sync {
    fn intercept(&self, batch: &mut Batch);
}

pub type Build = fn(&Context) -> Box<dyn Interceptor>;
pub type InterceptorSpec = Spec<Build>;

/// Every interceptor type.
pub static ALL: &[&InterceptorSpec] = &[];

/// The interceptors of one source, in order.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Interceptor>>);

impl Chain {
    pub fn new(list: Vec<Box<dyn Interceptor>>) -> Chain {
        Chain(list)
    }

    /// Runs the chain; an emptied batch ends it.
    pub fn run(&self, batch: &mut Batch) {
        for i in &self.0 {
            if batch.is_empty() {
                return;
            }
            i.intercept(batch);
        }
    }
}
