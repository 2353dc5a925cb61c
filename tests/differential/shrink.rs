//! Makes a sequence that ends in a difference shorter.

use std::io;

use crate::step::Step;

/// How often a sequence is played at most while it is made shorter.
const PLAYS_MAX: usize = 150;

/// Drops steps for as long as the last one still shows the difference, in ever smaller runs.
///
/// # Errors
/// What `still_differs`, which plays a sequence, returns.
pub fn shrink(
    mut steps: Vec<Step>,
    mut still_differs: impl FnMut(&[Step]) -> io::Result<bool>,
) -> io::Result<Vec<Step>> {
    let mut plays = 0;
    let mut run = steps.len().saturating_sub(1).next_power_of_two();
    while run > 0 {
        let mut at = 0;
        while at + 1 < steps.len() && plays < PLAYS_MAX {
            let end = (at + run).min(steps.len() - 1);
            let shorter = [&steps[..at], &steps[end..]].concat();
            plays += 1;
            if still_differs(&shorter)? {
                steps = shorter;
            } else {
                at = end;
            }
        }
        run /= 2;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use highwater_wire::ApiVersionsRequest;

    use super::*;

    #[test]
    fn only_the_steps_that_matter_are_left() {
        let step = |number| Step { number, version: 0, request: ApiVersionsRequest::default().into(), damage: None };
        let needs = |steps: &[Step]| Ok([3, 17, 40].iter().all(|need| steps.iter().any(|step| step.number == *need)));
        let left = shrink((0..=40).map(step).collect(), needs).unwrap();
        assert_eq!(left.iter().map(|step| step.number).collect::<Vec<_>>(), [3, 17, 40]);
    }
}
