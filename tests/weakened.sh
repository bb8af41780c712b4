#!/bin/sh
# Proves that the leak suites can fail: builds labhouse with a plain filter in the barrier's place, in a throw-away copy of
# the committed tree, and wants the suites to fail there by name. Then the same with alerts whose messages are made once, as the
# alert's owner, in place of once for each recipient, and with joins that are ordered by the sizes of whole tables. Not part of CI, because it builds the workspace again.
#
#     tests/weakened.sh [TARGET_DIR]          WEAKENED=barrier, mail or order does one of the three
#
# TARGET_DIR keeps the build for the next time, and weakened.log in it tells how each test ended. It must be used for nothing
# else: cargo would take the weakened crates in it for the real ones. Default: a folder that is removed at the end.
set -eu

top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
if [ $# -gt 0 ]; then
    # In the same place each time: cargo builds anew what lies elsewhere.
    copy=$1/weakened-source
    rm -rf "$copy"
    mkdir -p "$copy"
else
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
fi
git -C "$top" archive HEAD | tar -x -m -C "$copy"
cd "$copy"
export CARGO_TARGET_DIR="${1:-$copy/target}"

# Runs the tests that $2 chooses, with $1 as the log's name; each name after them must fail.
must_fail() {
    log="$CARGO_TARGET_DIR/$1.log"
    chosen=$2
    shift 2
    mkdir -p "$CARGO_TARGET_DIR"
    if cargo nextest run --workspace --locked --no-fail-fast -E "$chosen" >"$log" 2>&1; then
        echo "weakened.sh: the suites pass against the weakened build: they prove nothing" >&2
        exit 1
    fi
    missing=0
    for name in "$@"; do
        if grep -qE "(____|FAIL).* ?$name|FAIL.*$name" "$log"; then
            echo "fails, as it should: $name"
        else
            echo "weakened.sh: $name does not fail" >&2
            missing=1
        fi
    done
    grep -aE "^ *_{4,} .* _{4,}$|^ +FAIL|[0-9]+ failed" "$log" | sort -u
    [ "$missing" = 0 ] || { tail -n 60 "$log" >&2; exit 1; }
}

weaken_barrier() {
    barrier=policies/src/barrier/mod.rs
    whole='Ok(Arc::new(table::GovernedTable::try_new(inner, access, system)?))'
    grep -qF "$whole" "$barrier" || { echo "weakened.sh: $barrier has changed; correct this script" >&2; exit 2; }
    sed -i 's|Ok(Arc::new(table::GovernedTable::try_new(inner, access, system)?))|weak::view(inner, access, \&system)|' "$barrier"
    cat >>"$barrier" <<'RUST'

/// What many systems do: the same filter, columns and masks, as a view that the optimizer may look through.
mod weak {
    use super::*;
    use datafusion::common::Column;
    use datafusion::datasource::{ViewTable, provider_as_source};
    use datafusion::logical_expr::{Expr, LogicalPlanBuilder};

    pub(super) fn view(
        inner: Arc<dyn TableProvider>,
        access: &Access,
        system: &Arc<SessionState>,
    ) -> Result<Arc<dyn TableProvider>, DataFusionError> {
        drop(table::GovernedTable::try_new(Arc::clone(&inner), access, Arc::clone(system))?);
        let mut plan = LogicalPlanBuilder::scan("raw", provider_as_source(inner), None)?;
        if let Some(filter) = &access.row_filter {
            plan = plan.filter(filter.clone())?;
        }
        let columns = access.columns.iter().map(|at| {
            let name = access.schema.field(*at).name();
            match access.masks.get(name) {
                Some(mask) => mask.clone().alias_qualified(Some("raw"), name),
                None => Expr::Column(Column::new(Some("raw"), name)),
            }
        });
        let plan = plan.project(columns.collect::<Vec<_>>())?.build()?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}
RUST
    must_fail weakened 'test(no_channel_tells_a_reader_what_is_hidden) or test(random_statements_show_nothing)' \
        'test_one_statement\[01-division\]' \
        'test_one_statement\[02-cast\]' \
        'test_one_statement\[03-statistics\]' \
        'test_one_statement\[04-verbose metrics\]' \
        'test_one_statement\[61-errors that quote\]' \
        'random_statements_show_nothing_of_what_is_hidden'
    git -C "$top" show "HEAD:$barrier" >"$barrier"
}

# What many systems do: a message is made once, by whoever wrote the rule, and sent to everybody on the list.
weaken_mail() {
    notice=src/alerts/notice.rs
    whole='let verdict = match engine.auth.named(&recipient) {'
    grep -qF "$whole" "$notice" || { echo "weakened.sh: $notice has changed; correct this script" >&2; exit 2; }
    sed -i 's|let verdict = match engine.auth.named(&recipient) {|let verdict = match engine.auth.named(\&record.definition.owner) {|' "$notice"
    must_fail weakened-mail 'test(each_recipient_is_told) or test(a_report_comes_by_the_clock) or test(the_demo_says_what_is_wrong)' \
        'each_recipient_is_told_what_he_sees_and_the_blind_nothing' \
        'a_report_comes_by_the_clock_as_each_recipient_sees_it' \
        'the_demo_says_what_is_wrong_to_whoever_sees_it'
    git -C "$top" show "HEAD:$notice" >"$notice"
}

# What many systems do: plans are made by the statistics of the table, whoever reads it.
weaken_order() {
    counts=policies/src/barrier/counts.rs
    whole='if access.row_filter.is_some() {'
    grep -qF "$whole" "$counts" || { echo "weakened.sh: $counts has changed; correct this script" >&2; exit 2; }
    sed -i 's/if access.row_filter.is_some() {/if false {/' "$counts"
    must_fail weakened-order 'test(hidden_rows_do_not_move_a_join) or test(joins_are_ordered_by_what_the_reader_may_know)' \
        'hidden_rows_do_not_move_a_join' \
        'joins_are_ordered_by_what_the_reader_may_know'
    git -C "$top" show "HEAD:$counts" >"$counts"
}

case ${WEAKENED:-all} in
    barrier) weaken_barrier ;;
    mail) weaken_mail ;;
    order) weaken_order ;;
    all) weaken_barrier; weaken_mail; weaken_order ;;
    *) echo "weakened.sh: WEAKENED is barrier, mail or order" >&2; exit 2 ;;
esac
