//! Calls of components on the main thread, which lives for the whole agent: one that panics has failed, and nothing else.

use std::panic::{catch_unwind, AssertUnwindSafe};

/// What the call gives, or that it panicked; the panic itself has been told by then, as every one is.
pub fn unharmed<T>(what: &str, call: impl FnOnce() -> T) -> Result<T, String> {
    // What a call that panicked leaves behind is the component's own, which is dropped or asked anew.
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| format!("{what} panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        assert_eq!(unharmed("channel c1", || 1), Ok(1));
        let why = unharmed("channel c1", || assert!(std::env::args().count() == 0, "a test's panic"));
        assert_eq!(why, Err("channel c1 panicked".to_owned()));
    }
}
