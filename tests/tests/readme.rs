//! Holds the README to what is true.

use highwater_core::gateway::served;
use highwater_wire::ApiKey;

const README: &str = include_str!("../../README.md");

/// The table's rows as the code would write them.
fn expected_rows() -> Vec<String> {
    let row = |api: &ApiKey| {
        let versions = served(*api)?;
        Some(format!("| {} | {} | {}–{} |", api.name(), *api as i16, versions.start(), versions.end()))
    };
    ApiKey::ALL.iter().filter_map(row).collect()
}

#[test]
fn the_table_of_served_apis_is_what_the_gateway_serves() {
    let is_row = |line: &&str| line.starts_with("| ") && line.split('|').nth(2).is_some_and(is_number);
    let rows: Vec<&str> = README.lines().filter(is_row).collect();
    let expected = expected_rows();
    assert_eq!(rows, expected, "the README's table should read:\n{}", expected.join("\n"));
}

fn is_number(cell: &str) -> bool {
    cell.trim().parse::<i16>().is_ok()
}
