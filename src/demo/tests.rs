//! The demo is what it says: the same bytes every time, the promised rows, and effects that can be found again from the
//! files alone. Readings are parsed back from the three layouts as they lie on disk, not taken from memory.

mod effects;
mod files;
