//! Where ours answers otherwise than sendmail on purpose: one file, a reason each, and none that no dialogue meets.

use std::collections::BTreeSet;

const TEXT: &str = include_str!("divergences.txt");

/// One line of the file.
pub(crate) struct Divergence {
    case: String,
    line: String,
    theirs: String,
    ours: String,
}

/// All of them, and which were met.
pub(crate) struct Divergences {
    known: Vec<Divergence>,
    met: BTreeSet<usize>,
}

impl Divergences {
    /// Reads a part of the file: what follows `[NAME]`.
    pub(crate) fn read(part: &str) -> Self {
        let (_, lines) = TEXT.split_once(&format!("\n[{part}]\n")).expect("no such part");
        let lines = lines.lines().take_while(|line| !line.starts_with('['));
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let known = lines.map(|line| {
            let fields: Vec<&str> = line.split(" | ").map(str::trim).collect();
            let [case, line, theirs, ours, reason] = fields[..] else {
                panic!("five fields: {line}")
            };
            assert!(reason.len() > 10, "without a reason: {line}");
            Divergence {
                case: case.into(),
                line: line.into(),
                theirs: theirs.into(),
                ours: ours.into(),
            }
        });
        Self { known: known.collect(), met: BTreeSet::new() }
    }

    /// Whether this is known; it is then met.
    pub(crate) fn covers(&mut self, case: &str, line: &str, theirs: &str, ours: &str) -> bool {
        let found = self.find(case, line, theirs, ours);
        self.met.extend(found);
        found.is_some()
    }

    /// Whether two lists differ as is known; nothing is met by that.
    pub(crate) fn knows(&self, case: &str, line: &str, theirs: &[String], ours: &[String]) -> bool {
        rest(theirs, ours)
            .is_some_and(|(theirs, ours)| self.find(case, line, &theirs, &ours).is_some())
    }

    fn find(&self, case: &str, line: &str, theirs: &str, ours: &str) -> Option<usize> {
        self.known.iter().position(|known| {
            fits(&known.case, case)
                && fits(&known.line, line)
                && fits(&known.theirs, theirs)
                && fits(&known.ours, ours)
        })
    }

    /// Those that nothing met.
    pub(crate) fn vanished(&self) -> Vec<String> {
        let vanished = self.known.iter().enumerate().filter(|(index, _)| !self.met.contains(index));
        vanished
            .map(|(_, known)| {
                format!("{} | {} | {} | {}", known.case, known.line, known.theirs, known.ours)
            })
            .collect()
    }
}

/// All that is different between two lists after what they begin with alike.
pub(crate) fn rest(theirs: &[String], ours: &[String]) -> Option<(String, String)> {
    if theirs == ours {
        return None;
    }
    let alike = theirs.iter().zip(ours).take_while(|(theirs, ours)| theirs == ours).count();
    let said = |lines: &[String]| match lines.get(alike..) {
        None | Some([]) => "-".to_owned(),
        Some(rest) => rest.join(", "),
    };
    Some((said(theirs), said(ours)))
}

/// `*` at the end stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => pattern == text,
    }
}
