//! Views as files, in git, and copied for another lab.

use super::RUNS;
use crate::lab::{self, shows};

#[tokio::test]
async fn a_folder_of_files_makes_views_and_copies_them_for_another_lab() {
    let lab = lab::empty(|config| config);
    let dir = lab.dir.join("pipelines");
    std::fs::create_dir_all(&dir).unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let state = |file: &str| {
        format!("SELECT state || ' ' || coalesce(reason, '') AS told FROM system.pipelines WHERE file = '{file}'")
    };
    let says = |words: &'static str| {
        move |answer: &Result<String, String>| answer.as_ref().is_ok_and(|text| text.contains(words))
    };
    let daily = "-- What each lab makes\n-- view: lab.{{site}}.totals\n-- owner: ada\n-- refresh: on change\n-- parameter: site = chemistry\n-- parameter: least = 5\n-- expect: NOT NULL kind\n-- expect: UNIQUE (kind)\nSELECT kind, sum(yield) AS total FROM lab.{{site}}.runs WHERE yield >= {{least}} GROUP BY kind;\n";
    write("totals.sql", daily);
    // Its source is not there yet; when it is, the file acts.
    lab.until("ada", &state("totals.sql"), says("not found")).await;
    lab.land("chemistry/runs/a.csv", "run,kind,yield\n1,x,10\n2,y,20\n3,x,3\n");
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals",
        shows(30),
    )
    .await;
    lab.until("ada", &state("totals.sql"), says("fresh")).await;
    let of = "SELECT count(*) FROM system.pipelines WHERE view_schema = 'chemistry' AND view_name = 'totals' AND owner = 'ada' AND expectations = 'NOT NULL kind, UNIQUE (kind)' AND refresh = 'on change'";
    assert_eq!(lab.number("ada", of).await, 1);
    let version = "SELECT version FROM system.commits WHERE table_name = 'totals' AND table_schema = 'chemistry'";
    let made = lab.number("ada", version).await;

    // Another lab: three lines.
    lab.land("south/runs/a.csv", "run,kind,yield\n1,x,100\n2,y,1\n");
    write(
        "totals_south.sql",
        "-- like: totals\n-- parameter: site = south\n-- parameter: least = 1\n",
    );
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.south.totals",
        shows(101),
    )
    .await;
    // And it follows, in part.
    lab.land("south/runs/b.csv", "run,kind,yield\n3,z,9\n");
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.south.totals",
        shows(110),
    )
    .await;
    assert_eq!(
        lab.number(
            "ada",
            "SELECT count(*) FROM system.pipelines WHERE view_schema = 'south' AND mode = 'incremental'"
        )
        .await,
        1
    );
    // Files that say what there is do nothing.
    assert_eq!(lab.number("ada", version).await, made);

    // Two files for one view would make it by turns: the second is told so.
    write("zz_again.sql", "-- like: totals\n-- parameter: least = 9\n");
    lab.until(
        "ada",
        &state("zz_again.sql"),
        says("totals.sql makes the view chemistry.totals already"),
    )
    .await;
    assert_eq!(lab.number("ada", version).await, made);
    std::fs::remove_file(dir.join("zz_again.sql")).unwrap();

    // An edit makes the view anew; a wrong one leaves it as it was and says why.
    write("totals.sql", &daily.replace("least = 5", "least = 0"));
    lab.until(
        "ada",
        "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals",
        shows(33),
    )
    .await;
    write("totals.sql", &daily.replace("sum(yield)", "sum(yeild)"));
    lab.until("ada", &state("totals.sql"), says("failed")).await;
    assert_eq!(
        lab.number("ada", "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals")
            .await,
        33
    );
    write(
        "totals.sql",
        &daily.replace("-- owner: ada", "-- speed: 9\n-- owner: ada"),
    );
    lab.until("ada", &state("totals.sql"), says("unknown here")).await;

    // What a file's owner may not do, no file does for him; and nobody else's table or view is replaced.
    write(
        "guests.sql",
        "-- view: lab.chemistry.guests\n-- owner: guest\nSELECT run FROM lab.chemistry.runs\n",
    );
    lab.until("ada", &state("guests.sql"), says("failed")).await;
    assert!(lab.query("ada", "SELECT * FROM lab.chemistry.guests").await.is_err());
    write(
        "nobody.sql",
        "-- view: lab.chemistry.nobodys\n-- owner: nobody_here\nSELECT run FROM lab.chemistry.runs\n",
    );
    lab.until("ada", &state("nobody.sql"), says("not in the users file"))
        .await;
    write(
        "taken.sql",
        "-- view: lab.chemistry.runs\n-- owner: ada\nSELECT 1 AS a\n",
    );
    lab.until("ada", &state("taken.sql"), says("is a table already")).await;
    write(
        "other.sql",
        "-- view: lab.chemistry.totals\n-- owner: sam\nSELECT 1 AS a\n",
    );
    lab.until("ada", &state("other.sql"), says("view chemistry.totals is ada"))
        .await;
    assert_eq!(lab.number("ada", &format!("SELECT count(*) FROM {RUNS}")).await, 3);

    // A file that is taken away leaves its view.
    for name in [
        "totals.sql",
        "totals_south.sql",
        "guests.sql",
        "nobody.sql",
        "taken.sql",
        "other.sql",
    ] {
        std::fs::remove_file(dir.join(name)).unwrap();
    }
    lab.until(
        "ada",
        "SELECT count(*) FROM system.pipelines WHERE file IS NOT NULL",
        shows(0),
    )
    .await;
    assert_eq!(
        lab.number("ada", "SELECT CAST(sum(total) AS BIGINT) FROM lab.chemistry.totals")
            .await,
        33
    );
}
