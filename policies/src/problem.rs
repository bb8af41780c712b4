//! What is wrong with a policy: every problem says where it is, what is wrong and what to do.

use std::fmt;

/// How much a [`Problem`] weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy works, but a line of it probably does not say what its author meant.
    Warning,
    /// The policy cannot be put in force.
    Error,
}

/// One thing wrong with a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the policy is refused for it.
    pub severity: Severity,
    /// File name inside the policy directory, e.g. `policy.csv`.
    pub file: String,
    /// Line in that file, from 1; 0 when the problem is with the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A problem that refuses the policy.
    pub fn error(file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A problem that is only told.
    pub fn warning(file: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(file, line, what, remedy)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        match self.line {
            0 => write!(f, "{}: {kind}{}; {}", self.file, self.what, self.remedy),
            line => write!(f, "{}:{line}: {kind}{}; {}", self.file, self.what, self.remedy),
        }
    }
}

/// All problems found in one reading of a policy, in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyErrors {
    problems: Vec<Problem>,
}

impl PolicyErrors {
    /// No problem yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one problem.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds every problem of `other`.
    pub fn extend(&mut self, other: PolicyErrors) {
        self.problems.extend(other.problems);
    }

    /// Every problem, warnings included.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// The problems that refuse the policy.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Error)
    }

    /// The problems that are only told.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Warning)
    }

    /// Whether the policy must be refused.
    pub fn is_fatal(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether there is nothing at all to tell.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems, warnings included.
    pub fn len(&self) -> usize {
        self.problems.len()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

impl From<Problem> for PolicyErrors {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}
