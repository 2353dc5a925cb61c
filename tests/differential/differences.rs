//! The differences that are known, one line each, with the reason.
//!
//! A line has seven columns, divided by ` | `:
//! ```text
//! API | VERSIONS | PATH | KAFKA | HIGHWATER | EXAMPLE | REASON
//! ```
//! `PATH`, `KAFKA` and `HIGHWATER` are what is printed of a difference. A `*` in them stands for any characters, in a
//! path for any but a closing bracket. The fields of a path are always spelled out, so no line can excuse a whole API.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use highwater_wire::ApiKey;

use crate::compare::Difference;

/// The file, read.
#[derive(Debug)]
pub struct Known {
    lines: Vec<Line>,
    used: BTreeSet<usize>,
}

#[derive(Debug)]
struct Line {
    number: usize,
    api: ApiKey,
    versions: RangeInclusive<i16>,
    path: String,
    kafka: String,
    highwater: String,
}

impl Known {
    /// Reads the lines.
    ///
    /// # Errors
    /// The first line that is not one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let parse = |(index, line): (usize, &str)| {
            parse_line(index + 1, line).map_err(|reason| format!("line {}: {reason}: {line}", index + 1))
        };
        Ok(Self { lines: lines.map(parse).collect::<Result<_, _>>()?, used: BTreeSet::new() })
    }

    /// The number of the line that explains a difference, if one does.
    pub fn explain(&mut self, api: ApiKey, version: i16, difference: &Difference) -> Option<usize> {
        let explains = |line: &&Line| {
            line.api == api
                && line.versions.contains(&version)
                && matches(&line.path, &difference.path, ']')
                && matches(&line.kafka, &difference.kafka, '\0')
                && matches(&line.highwater, &difference.highwater, '\0')
        };
        let number = self.lines.iter().find(explains)?.number;
        self.used.insert(number);
        Some(number)
    }

    /// The numbers of the lines that have explained nothing.
    pub fn unused(&self) -> Vec<usize> {
        self.lines.iter().map(|line| line.number).filter(|number| !self.used.contains(number)).collect()
    }
}

fn parse_line(number: usize, line: &str) -> Result<Line, String> {
    let columns: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [api, versions, path, kafka, highwater, example, reason] = columns[..] else {
        return Err(format!("{} columns instead of seven", columns.len()));
    };
    let api = ApiKey::ALL.iter().copied().find(|known| known.name() == api).ok_or("there is no such API")?;
    let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
    let version = |text: &str| text.parse::<i16>().map_err(|_| "no range of versions".to_owned());
    if fields(path).any(|field| field.is_empty() || field.contains('*')) {
        return Err("the fields of the path are not spelled out".to_owned());
    }
    if (kafka, highwater) == ("*", "*") && path.ends_with("error_code") {
        return Err("an error code that may be anything".to_owned());
    }
    if example.is_empty() || reason.is_empty() {
        return Err("an example and a reason are needed".to_owned());
    }
    let (path, kafka, highwater) = (path.to_owned(), kafka.to_owned(), highwater.to_owned());
    Ok(Line { number, api, versions: version(first)?..=version(last)?, path, kafka, highwater })
}

/// The names of the fields of a path, without what stands in brackets.
fn fields(path: &str) -> impl Iterator<Item = &str> {
    path.split(']')
        .flat_map(|part| part.split('[').next())
        .filter(|part| !part.is_empty())
        .flat_map(|part| part.strip_prefix('.').unwrap_or(part).split('.'))
}

/// Whether a text is what a pattern says. A `*` stands for any characters but `stop`.
fn matches(pattern: &str, text: &str, stop: char) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(front) else { return false };
    let reach = text.find(stop).unwrap_or(text.len());
    (0..=reach).filter(|&at| text.is_char_boundary(at)).any(|at| matches(rest, &text[at..], stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_inside_its_brackets() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("topics[*].error_code", "topics[x.y].error_code", true),
            ("topics[*].error_code", "topics[x].partitions[0].error_code", false),
            ("topics[*].partitions[*].error_code", "topics[x].partitions[0].error_code", true),
            ("configs[log.*]", "configs[log.dirs]", true),
            ("configs[log.*]", "configs[ssl]", false),
        ] {
            assert_eq!(matches(pattern, text, ']'), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_line_explains_its_api_versions_and_field_only() {
        let mut known =
            Known::parse("# a comment\n\nMetadata | 0-3 | topics[*].error_code | NONE | * | x | y\n").unwrap();
        let difference = |path: &str| Difference { path: path.into(), kafka: "NONE".into(), highwater: "Z".into() };
        assert_eq!(known.unused(), [3]);
        assert_eq!(known.explain(ApiKey::Metadata, 3, &difference("topics[a].error_code")), Some(3));
        assert_eq!(known.explain(ApiKey::Metadata, 4, &difference("topics[a].error_code")), None);
        assert_eq!(known.explain(ApiKey::Fetch, 3, &difference("topics[a].error_code")), None);
        assert_eq!(known.explain(ApiKey::Metadata, 3, &difference("topics[a].name")), None);
        assert!(known.unused().is_empty());
    }

    #[test]
    fn a_line_that_would_excuse_anything_is_refused() {
        for line in [
            "Metadata | 0-3 | topics[*].error_code | NONE | X | why",
            "Nonsense | 0-3 | topics[*].error_code | NONE | X | example | why",
            "Metadata | 0-x | topics[*].error_code | NONE | X | example | why",
            "Metadata | 0-3 | * | NONE | X | example | why",
            "Metadata | 0-3 | *[a].name | NONE | X | example | why",
            "Metadata | 0-3 | topics[*].* | NONE | X | example | why",
            "Metadata | 0-3 | topics[*].error_code | * | * | example | why",
            "Metadata | 0-3 | topics[*].error_code | NONE | X |  | why",
        ] {
            assert!(Known::parse(line).is_err(), "{line}");
        }
    }
}
