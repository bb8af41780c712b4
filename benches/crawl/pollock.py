"""What the crawler makes of the public Pollock files (github.com/HPI-Information-Systems/Pollock, a checkout of which is given):

    python benches/crawl/pollock.py CHECKOUT/polluted_files    2,290 files, one table polluted in as many ways
    python benches/crawl/pollock.py CHECKOUT/survey_sample     100 files as the world publishes them

Each file is landed in a folder of its own and compared with the benchmark's parameters and clean version: the delimiter,
the names of the columns (letter by letter, spaces at their ends aside), the number of rows. Files that the checkout lacks
are left out. `--show` lists what differs.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile

BINARY = os.environ.get(
    "LABHOUSE", os.path.join(os.environ.get("CARGO_TARGET_DIR", "target"), "release", "labhouse")
)


def names_of(lake, table):
    """The headings as the file has them, from the first commit of its table."""
    with open(f"{lake}/tables/{table.replace('.', '/')}/_delta_log/{0:020}.json") as log:
        made = next(action["metaData"] for action in map(json.loads, log) if "metaData" in action)
    fields = json.loads(made["schemaString"])["fields"]
    return [field["metadata"].get("labhouse.original", field["name"]) for field in fields if not field["name"].startswith("_")]


def is_delimiter(wanted, taken_for):
    said = {",": ("CSV,",), "\t": ("TSV,",), " ": ("space", "spaces")}.get(wanted, (f"'{wanted}'",))
    return any(word in taken_for for word in said) and (wanted != "," or "delimited" not in taken_for)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    own = tempfile.mkdtemp(prefix="labhouse-pollock-")
    lake = f"{own}/lake"
    with open(f"{own}/labhouse.toml", "w") as config:
        config.write(f'[lake]\nurl = "file://{lake}"\n[crawl]\nsettle_ms = 0\n')
    files = {}
    for name in sorted(os.listdir(f"{args.folder}/csv")):
        known = (f"{args.folder}/parameters/{name}_parameters.json", f"{args.folder}/clean/{name}")
        if all(os.path.exists(path) for path in known):
            home = f"p/t{len(files):05d}"
            os.makedirs(f"{lake}/landing/{home}")
            shutil.copy(f"{args.folder}/csv/{name}", f"{lake}/landing/{home}/data.csv")
            files[f"{home}/data.csv"] = (name, *known)
    said = subprocess.run([BINARY, "crawl", "--json", "--config", f"{own}/labhouse.toml"], capture_output=True, text=True)
    if not said.stdout:  # files in quarantine make it say 1
        sys.exit(said.stderr[-2000:])
    count = dict.fromkeys(("files", "loaded", "refused with a reason", "delimiter", "names", "rows", "names and rows"), 0)
    for line in said.stdout.splitlines():
        outcome = json.loads(line)
        if outcome["path"] not in files:
            continue
        name, parameters, clean = files[outcome["path"]]
        with open(parameters) as file:
            wanted = json.load(file)
        count["files"] += 1
        if outcome["status"] != "loaded":
            count["refused with a reason"] += bool(outcome["reason"])
            if args.show:
                print(f"{name}: {outcome['reason']}")
            continue
        count["loaded"] += 1
        with open(clean, newline="", encoding="utf-8", errors="replace") as file:
            rows = sum(1 for _ in csv.reader(file)) - bool(wanted["header_lines"])
        found = [heading.strip() for heading in names_of(lake, outcome["tables"][0])]
        header = [heading.strip() for heading in wanted["column_names"]]
        if not wanted["header_lines"]:
            header = [f"column_{at + 1}" for at in range(len(found))]
        right = {
            "delimiter": is_delimiter(wanted["delimiter"], outcome["taken_for"]),
            "names": found == header,
            "rows": outcome["rows"] == rows,
        }
        right["names and rows"] = right["names"] and right["rows"]
        for what, is_right in right.items():
            count[what] += is_right
        if args.show and not all(right.values()):
            print(f"{name}: not {', '.join(what for what, is_right in right.items() if not is_right)}; "
                  f"{outcome['rows']} rows of {rows}; {outcome['taken_for']}; {found[:8]} of {header[:8]}")
    total = count["files"]
    print("; ".join(f"{what} {number}" + (f" ({number / total:.1%})" if what != "files" else "") for what, number in count.items()))
    shutil.rmtree(own)


if __name__ == "__main__":
    main()
