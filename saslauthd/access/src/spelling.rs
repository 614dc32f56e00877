//! The nearest of some words to one that is none of them.
//!
//! For messages only: nothing is ever corrected silently.

/// The nearest candidate by swaps, insertions, deletions and replacements of letters, without regard to case; `None`
/// when it would take more than a third of the word (but two steps are always allowed).
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Long words are no misspelt keywords, and the table grows with their square.
    if word.is_empty() || word.len() > 40 {
        return None;
    }
    let most = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(steps, candidate)| *steps <= most && *steps < candidate.len())
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: a swap of neighbours is one step.
fn distance(left: &str, right: &str) -> usize {
    let fold =
        |text: &str| text.chars().map(|letter| letter.to_ascii_lowercase()).collect::<Vec<_>>();
    let (left, right) = (fold(left), fold(right));
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    let at = |rows: &[Vec<usize>], row: usize, column: usize| {
        rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(usize::MAX / 2)
    };
    for row in 1..=left.len() {
        rows.push(vec![row]);
        for column in 1..=right.len() {
            let same = usize::from(left.get(row - 1) != right.get(column - 1));
            let mut steps = (at(&rows, row - 1, column) + 1)
                .min(at(&rows, row, column - 1) + 1)
                .min(at(&rows, row - 1, column - 1) + same);
            let swapped = row > 1
                && column > 1
                && left.get(row - 1) == right.get(column - 2)
                && left.get(row - 2) == right.get(column - 1);
            if swapped {
                steps = steps.min(at(&rows, row - 2, column - 2) + 1);
            }
            if let Some(row) = rows.get_mut(row) {
                row.push(steps);
            }
        }
    }
    at(&rows, left.len(), right.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_is_near_and_another_word_is_not() {
        let words = ["VERIFY", "ENCR", "OK"];
        assert_eq!(nearest("VERFIY", words), Some("VERIFY"));
        assert_eq!(nearest("verify", words), Some("VERIFY"));
        assert_eq!(nearest("ENCRYPT", words), None);
        assert_eq!(nearest("ECNR", words), Some("ENCR"));
        assert_eq!(nearest("banana", words), None);
        assert_eq!(nearest("", words), None);
    }
}
