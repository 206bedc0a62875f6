//! Pictures of numbers, integers and times, after XPath and XQuery Functions and Operators 3.1.

pub(crate) mod date;
pub(crate) mod decimal;
pub(crate) mod integer;
mod numeral;
mod words;

/// The distance at which separators stand regularly; `None` where they do not, or there are none.
fn regular_distance(positions: &[usize]) -> Option<usize> {
    fn divisor(a: usize, b: usize) -> usize {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    let distance = positions
        .iter()
        .copied()
        .reduce(divisor)
        .filter(|distance| *distance > 0)?;
    (1..=positions.len())
        .all(|n| positions.contains(&(n * distance)))
        .then_some(distance)
}
