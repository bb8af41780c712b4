//! An order of rows in which neighbours differ in few columns: what the equal ones say is worked out once.
#![expect(clippy::indexing_slicing, reason = "every column has a code for every row")]

/// Collects columns of entries.
pub(crate) struct Order {
    rows: usize,
    columns: Vec<(Vec<u32>, usize)>,
}

/// The order: rows sorted by the columns, the first one first.
pub(crate) struct Plan {
    pub(crate) rows: Vec<u32>,
    /// The column's number and its entry per row.
    pub(crate) columns: Vec<(usize, Vec<u32>)>,
}

impl Order {
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    /// The next column: an entry, below `height`, per row.
    pub(crate) fn add(&mut self, codes: Vec<u32>, height: usize) {
        self.columns.push((codes, height));
    }

    /// With the columns in the given order, whatever these rows hold: for sums, whose last bits depend on the order.
    pub(crate) fn plan_as_given(self) -> Plan {
        let ranks = (0..self.columns.len()).collect();
        self.ranked(ranks)
    }

    /// With the columns of few different entries first.
    pub(crate) fn plan(self) -> Plan {
        let different = |(codes, height): &(Vec<u32>, usize)| {
            let mut seen = vec![false; *height];
            codes
                .iter()
                .filter(|code| !std::mem::replace(&mut seen[**code as usize], true))
                .count()
        };
        let ranks = self.columns.iter().map(different).collect();
        self.ranked(ranks)
    }

    fn ranked(self, ranks: Vec<usize>) -> Plan {
        let mut sorted: Vec<(usize, usize, Vec<u32>, usize)> = self
            .columns
            .into_iter()
            .zip(ranks)
            .enumerate()
            .map(|(number, ((codes, height), rank))| (rank, number, codes, height))
            .collect();
        sorted.sort_by_key(|(rank, number, _, _)| (*rank, *number));
        // All entries of a row in one number, if they fit: sorting then compares numbers.
        let widths: Vec<u32> = sorted
            .iter()
            .map(|(_, _, _, height)| usize::BITS - height.leading_zeros())
            .collect();
        let columns: Vec<(usize, Vec<u32>)> = sorted
            .into_iter()
            .map(|(_, number, codes, _)| (number, codes))
            .collect();
        let mut rows: Vec<u32> = (0..self.rows as u32).collect();
        if widths.iter().sum::<u32>() <= u64::BITS {
            let mut keys = vec![0_u64; self.rows];
            for ((_, codes), width) in columns.iter().zip(&widths) {
                for (key, code) in keys.iter_mut().zip(codes) {
                    *key = key.checked_shl(*width).unwrap_or(0) | u64::from(*code);
                }
            }
            rows.sort_unstable_by_key(|row| (keys[*row as usize], *row));
        } else {
            let of = |row: u32| columns.iter().map(move |(_, codes)| codes[row as usize]);
            rows.sort_unstable_by(|a, b| of(*a).cmp(of(*b)).then(a.cmp(b)));
        }
        Plan { rows, columns }
    }
}

impl Plan {
    /// In how many columns, from the first on, two rows are equal.
    pub(crate) fn alike(&self, a: usize, b: usize) -> usize {
        self.columns
            .iter()
            .take_while(|(_, codes)| codes[a] == codes[b])
            .count()
    }

    /// All columns but the last.
    pub(crate) fn first(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let count = self.columns.len().saturating_sub(1);
        self.columns[..count]
            .iter()
            .map(|(number, codes)| (*number, codes.as_slice()))
    }

    /// The column with the most different entries; with no columns at all, an empty one.
    pub(crate) fn last(&self) -> (usize, &[u32]) {
        self.columns
            .last()
            .map_or((0, &[]), |(number, codes)| (*number, codes.as_slice()))
    }
}
