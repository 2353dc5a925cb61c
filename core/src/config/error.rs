//! Why a configuration is refused, in words for the person who wrote it.

/// Why one key and value of a topic, group or broker is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such key.
    #[error("unknown key {key}{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// As it was written.
        key: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// The key does not take this value.
    #[error("invalid value {value:?} for {key}: it {reason}")]
    InvalidValue {
        /// Which key.
        key: String,
        /// As it was written.
        value: String,
        /// The end of a sentence that starts with "it".
        reason: String,
    },
    /// Two keys do not go together.
    #[error("{first} and {second} contradict each other: {reason}")]
    Contradiction {
        /// One key.
        first: String,
        /// The other.
        second: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Refusal {
    pub(super) fn contradiction(first: &str, second: &str, reason: &str) -> Self {
        Self::Contradiction { first: first.to_owned(), second: second.to_owned(), reason: reason.to_owned() }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(": did you mean {nearest}?"))
}

/// Why a broker's configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{refusal} (set by {})", sources.join(" and "))]
pub struct ConfigError {
    /// What is wrong.
    pub refusal: Refusal,
    /// Who set it: as given to [`BrokerConfig::from_pairs`](super::BrokerConfig::from_pairs).
    pub sources: Vec<String>,
}

/// The candidate that looks most like `written`, if any looks like it at all.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written: Vec<char> = written.chars().take(NAME_CHARS_MAX).collect();
    let distance_max = (written.len() / 3).max(2);
    let distance = |name: &str| edit_distance(&written, &name.chars().collect::<Vec<_>>());
    candidates
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

/// Characters of an unknown name that are compared: bounds the work that a client can cause.
const NAME_CHARS_MAX: usize = 80;

/// How many characters must be added, removed or changed to make one of the other (Levenshtein).
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, l) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (to, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != r);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(diagonal + 1).min(row[to] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_the_slip_and_not_just_anything() {
        let names = ["retention.ms", "retention.bytes", "segment.ms"];
        assert_eq!(nearest("retention.msec", names), Some("retention.ms"));
        assert_eq!(nearest("retension.bytes", names), Some("retention.bytes"));
        assert_eq!(nearest("zookeeper.connect", names), None);
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }
}
