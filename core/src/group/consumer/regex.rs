//! Topics by regular expression.
//!
//! An expression must match the whole of a topic's name. Matching takes time in proportion to the name and the compiled
//! expression, whose size is bounded: what blows up is refused. Names of topics are ASCII, and so are classes like `\w`.

use std::collections::BTreeSet;
use std::sync::Arc;

use highwater_wire::group_records::{ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue};
use highwater_wire::{ErrorCode, GroupRecord};
use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::Consumer;
use crate::controller::Image;
use crate::limits::{REGEX_BYTES_MAX, REGEX_PROGRAM_BYTES_MAX};

/// A regular expression over topics' names.
pub(super) struct TopicPattern(PikeVM);

impl TopicPattern {
    /// # Errors
    /// It is no regular expression, or too large a one.
    pub fn new(pattern: &str) -> Result<Self, ErrorCode> {
        if pattern.len() > REGEX_BYTES_MAX {
            return Err(ErrorCode::InvalidRegularExpression);
        }
        let program = thompson::Config::new().utf8(false).nfa_size_limit(Some(REGEX_PROGRAM_BYTES_MAX));
        PikeVM::builder()
            .configure(PikeVM::config().match_kind(MatchKind::All))
            .syntax(syntax::Config::new().unicode(false).utf8(false).nest_limit(50))
            .thompson(program)
            .build(pattern)
            .map(Self)
            .map_err(|_| ErrorCode::InvalidRegularExpression)
    }

    /// The topics whose whole names match: as in Kafka, the broker's own are not left out.
    pub fn topics(&self, image: &Image) -> BTreeSet<String> {
        let mut cache = self.0.create_cache();
        let mut matches = |name: &str| {
            let found = self.0.find(&mut cache, Input::new(name).anchored(Anchored::Yes));
            found.is_some_and(|found| found.end() == name.len())
        };
        let names = image.topics().map(|topic| &*topic.name);
        names.filter(|name| matches(name)).map(str::to_owned).collect()
    }
}

impl Consumer<'_, '_> {
    /// Looks for the topics of a regular expression, and records them if they have changed.
    pub(super) fn resolve(&mut self, regex: &str) -> Result<(), ErrorCode> {
        let image = self.draft.coordinator.image();
        let topics = TopicPattern::new(regex)?.topics(image);
        if self.group.resolved.get(regex).is_some_and(|known| **known == topics) {
            return Ok(());
        }
        let value = ConsumerGroupRegularExpressionValue {
            topics: topics.into_iter().collect(),
            version: image.offset().0,
            timestamp: self.draft.now.wall.0,
        };
        self.record_regex(regex, Some(value));
        Ok(())
    }

    /// Looks for the topics of all regular expressions of the group.
    pub(super) fn resolve_all(&mut self) {
        let known: Vec<Arc<str>> = self.group.resolved.keys().cloned().collect();
        for regex in known {
            // One that another version of the broker took is kept as it was resolved there.
            let _ = self.resolve(&regex);
        }
    }

    /// Forgets regular expressions that nobody uses any more.
    pub(super) fn forget_unused_regexes(&mut self) {
        let used: BTreeSet<Arc<str>> = self.group.members().filter_map(|member| member.regex.clone()).collect();
        let unused: Vec<Arc<str>> =
            self.group.resolved.keys().filter(|regex| !used.contains(*regex)).cloned().collect();
        for regex in unused {
            self.record_regex(&regex, None);
        }
    }

    fn record_regex(&mut self, regex: &str, value: Option<ConsumerGroupRegularExpressionValue>) {
        let key =
            ConsumerGroupRegularExpressionKey { group_id: self.id.to_string(), regular_expression: regex.to_owned() };
        self.record(GroupRecord::ConsumerGroupRegularExpression(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_and_blows_nothing_up() {
        let matches = |pattern: &str, name: &str| {
            let pattern = TopicPattern::new(pattern).unwrap();
            let found = pattern.0.find(&mut pattern.0.create_cache(), Input::new(name).anchored(Anchored::Yes));
            found.is_some_and(|found| found.end() == name.len())
        };
        assert!(matches("orders-.*", "orders-eu"));
        assert!(!matches("orders", "orders-eu"));
        assert!(matches("a|ab", "ab"), "the longest match counts, not the first");
        assert!(matches(r"\w+", "topic_1"));
        assert!(!matches("(a+)+b", &"a".repeat(249)));
        for bad in ["(", "[z-a]", r"\w{1000}{1000}", &"(".repeat(3000), &"a".repeat(REGEX_BYTES_MAX + 1)] {
            assert_eq!(TopicPattern::new(bad).err(), Some(ErrorCode::InvalidRegularExpression), "{bad:.20}");
        }
    }
}
