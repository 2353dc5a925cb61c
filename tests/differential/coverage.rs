//! Which APIs were asked in which versions, and which error codes came back.

use std::collections::BTreeMap;
use std::fmt;

use highwater_wire::testing::Tree;
use highwater_wire::{ApiKey, ErrorCode};

use crate::side::Answer;

/// How often each API, version and error code occurred in Kafka's answers.
#[derive(Debug, Default)]
pub struct Coverage {
    answers: BTreeMap<ApiKey, BTreeMap<i16, BTreeMap<String, usize>>>,
}

impl Coverage {
    /// Takes note of an answer, each code once.
    pub fn add(&mut self, api: ApiKey, version: i16, answer: &Answer) {
        let mut codes = Vec::new();
        match answer {
            Answer::Response(response) => collect(&response.to_tree(), &mut codes),
            Answer::Silence => codes.push("silent".to_owned()),
            Answer::Nothing => codes.push("no answer".to_owned()),
            Answer::Closed => codes.push("closed".to_owned()),
            Answer::Garbage(_) => codes.push("garbage".to_owned()),
        }
        codes.sort();
        codes.dedup();
        let row = self.answers.entry(api).or_default().entry(version).or_default();
        for code in codes {
            *row.entry(code).or_default() += 1;
        }
    }

    /// How many combinations of API, version and error code occurred.
    pub fn combinations(&self) -> usize {
        self.answers.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum()
    }
}

fn collect(tree: &Tree, codes: &mut Vec<String>) {
    match tree {
        Tree::Part(fields) => {
            for (name, value) in fields {
                match value {
                    Tree::Integer(code) if *name == "error_code" => {
                        let known = i16::try_from(*code).ok().and_then(|code| ErrorCode::try_from(code).ok());
                        codes.push(known.map_or_else(|| code.to_string(), |code| code.name().to_owned()));
                    }
                    _ => collect(value, codes),
                }
            }
        }
        Tree::List(elements) => elements.iter().for_each(|element| collect(element, codes)),
        _ => {}
    }
}

impl fmt::Display for Coverage {
    /// For each API: each code, with how often it came in each version.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (api, versions) in &self.answers {
            let names: Vec<String> = versions.keys().map(i16::to_string).collect();
            writeln!(f, "{api}, versions {}", names.join(" "))?;
            let mut by_code = BTreeMap::<&str, Vec<String>>::new();
            for (version, codes) in versions {
                for (code, count) in codes {
                    by_code.entry(code).or_default().push(format!("{version}:{count}"));
                }
            }
            for (code, counts) in by_code {
                writeln!(f, "    {code:<36} {}", counts.join(" "))?;
            }
        }
        Ok(())
    }
}
