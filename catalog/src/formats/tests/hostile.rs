//! Content made to cost much: it ends, with a table or a refusal. Each shape would be quadratic for a reader that looks
//! back or ahead without a bound.

use super::parse;

#[test]
fn shapes_that_tempt_to_look_far_end() {
    let many = 20_000;
    let mut texts = vec![
        // Column numbers again and again.
        "\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\t11\t12\n".repeat(many),
        // Plates of two rows.
        "\t1\t2\t3\nA\t1\t2\t3\nB\t1\t2\t3\n\n".repeat(many / 4),
        // Headers without rows, blank lines without end, lines of one word.
        "name,size,kind\n\n".repeat(many),
        "\n".repeat(many * 10),
        "word\n".repeat(many),
        // A label of a group over nothing, many times.
        format!("a,b,c\n{}", "label\n".repeat(many)),
        format!("a,b,c\n1,2,3\n\n{}", "x,,\n,1,2\n".repeat(many)),
        // Rows of one width, then of another, in turn.
        "1,2,3\n1,2,3,4\n".repeat(many),
        // Each section in a state of its own.
        (0..2_000)
            .map(|at| format!("Plate: P{at}\n\t1\t2\t3\nA\t1\t2\t3\nB\t1\t2\t3\n"))
            .collect(),
    ];
    // One wide row of wells, and one of numbers.
    texts.push(format!("{}\n{}\n", "A1,".repeat(9_000), "1,".repeat(9_000)));
    texts.push(format!("{}\n", (1..9_000).map(|at| format!("{at},")).collect::<String>()).repeat(20));
    for text in texts {
        let name = text.chars().take(30).collect::<String>();
        match parse("a.txt", text) {
            Ok(parsed) => println!("{name:?}: {}", parsed.taken_for.chars().take(200).collect::<String>()),
            Err(error) => println!("{name:?}: {}", error.to_string().chars().take(200).collect::<String>()),
        }
    }
}
