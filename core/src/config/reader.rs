//! Valid values by key, as the types that the rest of the broker works with.
//!
//! A key that is missing from its table, or of another type there, is a bug: it panics, and a test reads every key.

use super::key::{Key, Value};

/// Reads the values of one table of keys.
pub(super) struct Reader<F>(pub F);

impl<F: Fn(&str) -> Option<Value>> Reader<F> {
    pub fn boolean(&self, name: &str) -> bool {
        match (self.0)(name) {
            Some(Value::Boolean(value)) => value,
            other => panic!("{name} is {other:?}, not a boolean"),
        }
    }

    pub fn maybe_integer(&self, name: &str) -> Option<i64> {
        match (self.0)(name) {
            Some(Value::Integer(value)) => Some(value),
            None => None,
            other => panic!("{name} is {other:?}, not an integer"),
        }
    }

    /// An integer of the type that the key's check guarantees.
    pub fn integer<T: TryFrom<i64>>(&self, name: &str) -> T {
        let value = self.maybe_integer(name).unwrap_or_else(|| panic!("{name} has a default"));
        T::try_from(value).unwrap_or_else(|_| panic!("{name} = {value} passed its check"))
    }

    /// An integer for which every negative number means "none".
    pub fn limit(&self, name: &str) -> Option<u64> {
        u64::try_from(self.integer::<i64>(name)).ok()
    }

    pub fn double(&self, name: &str) -> f64 {
        match (self.0)(name) {
            Some(Value::Double(value)) => value,
            other => panic!("{name} is {other:?}, not a number"),
        }
    }

    pub fn maybe_text(&self, name: &str) -> Option<String> {
        match (self.0)(name) {
            Some(Value::Text(value)) => Some(value),
            None => None,
            other => panic!("{name} is {other:?}, not a text"),
        }
    }

    pub fn text(&self, name: &str) -> String {
        self.maybe_text(name).unwrap_or_else(|| panic!("{name} has a default"))
    }

    pub fn list(&self, name: &str) -> Vec<String> {
        match (self.0)(name) {
            Some(Value::List(value)) => value,
            None => Vec::new(),
            other => panic!("{name} is {other:?}, not a list"),
        }
    }
}

/// The key that a typed structure asks for.
pub(super) fn known(key: Option<&'static Key>, name: &str) -> &'static Key {
    key.unwrap_or_else(|| panic!("{name} is in no table"))
}
