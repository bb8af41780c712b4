//! The elements: symbols, standard atomic weights (IUPAC, abridged) and the valences that SMILES implies.

/// Symbols in order of atomic number, from 1.
const SYMBOLS: &str = "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh \
Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu \
Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og";

/// Atomic weights in order of atomic number, from 1 to 86.
const WEIGHTS: [f64; 86] = [
    1.008, 4.003, 6.941, 9.012, 10.812, 12.011, 14.007, 15.999, 18.998, 20.18, 22.99, 24.305, 26.982, 28.086, 30.974,
    32.067, 35.453, 39.948, 39.098, 40.078, 44.956, 47.867, 50.942, 51.996, 54.938, 55.845, 58.933, 58.693, 63.546,
    65.39, 69.723, 72.61, 74.922, 78.96, 79.904, 83.8, 85.468, 87.62, 88.906, 91.224, 92.906, 95.94, 98.0, 101.07,
    102.906, 106.42, 107.868, 112.412, 114.818, 118.711, 121.76, 127.6, 126.904, 131.29, 132.905, 137.328, 138.906,
    140.116, 140.908, 144.24, 145.0, 150.36, 151.964, 157.25, 158.925, 162.5, 164.93, 167.26, 168.934, 173.04, 174.967,
    178.49, 180.948, 183.84, 186.207, 190.23, 192.217, 195.078, 196.967, 200.59, 204.383, 207.2, 208.98, 209.0, 210.0,
    222.0,
];

/// The atomic number of a symbol.
pub(crate) fn number(symbol: &str) -> Option<u8> {
    SYMBOLS
        .split_ascii_whitespace()
        .position(|s| s == symbol)
        .and_then(|at| u8::try_from(at + 1).ok())
}

/// Grams per mole; for an isotope its nominal mass, refined for the two that laboratories use most.
pub(crate) fn weight(element: u8, isotope: u16) -> f64 {
    match (element, isotope) {
        (_, 0) => usize::from(element)
            .checked_sub(1)
            .and_then(|at| WEIGHTS.get(at))
            .copied()
            .unwrap_or(0.0),
        (1, 2) => 2.014_102,
        (1, 3) => 3.016_049,
        (6, 11) => 11.011_434,
        (6, 13) => 13.003_355,
        (6, 14) => 14.003_242,
        (7, 15) => 15.000_109,
        (9, 18) => 18.000_938,
        (53, 123) => 122.905_589,
        (53, 125) => 124.904_63,
        (53, 131) => 130.906_125,
        (_, nominal) => f64::from(nominal),
    }
}

/// The usual valences of the organic subset, ascending; empty for an element that needs brackets.
pub(crate) const fn valences(element: u8) -> &'static [usize] {
    match element {
        5 => &[3],
        6 => &[4],
        7 => &[3],
        8 => &[2],
        15 => &[3, 5, 7],
        16 => &[2, 4, 6],
        9 | 17 | 35 | 53 => &[1],
        _ => &[],
    }
}

/// Pauling-like rank, for who draws the electrons of a double bond.
pub(crate) const fn draws(element: u8) -> u8 {
    match element {
        9 => 40,
        8 => 35,
        7 | 17 => 30,
        35 => 28,
        16 | 34 | 53 => 26,
        6 => 25,
        _ => 20,
    }
}
