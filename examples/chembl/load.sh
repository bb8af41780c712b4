#!/usr/bin/env bash
# Loads ChEMBL into the schema `chembl` of a lake: the released files where they are at hand, a sample of the same names else.
#
#   examples/chembl/load.sh --config labhouse-demo/labhouse.toml [--from FOLDER]
#
# FOLDER holds files of a release (https://ftp.ebi.ac.uk/pub/databases/chembl/ChEMBLdb/latest/), packed or not:
#   chembl_NN_sqlite.tar.gz, *.db      the whole database       -> lab.chembl.TABLE, all of them (CHEMBL_TABLES="activities assays": those)
#   chembl_NN_chemreps.txt.gz          structures and keys      -> lab.chembl.chemreps
#   chembl_NN.sdf.gz                   molecules with data      -> lab.chembl.molecules
#   chembl_uniprot_mapping.txt         targets and UniProt      -> lab.chembl.uniprot_mapping
#   TABLE.csv|tsv|txt|parquet[.gz]     an export of one table   -> lab.chembl.TABLE   (compound_properties, activities, …)
# The database takes Python 3, which has SQLite with it. Of anything else it says that it is left. Without --from, CHEMBL_DIR is looked at, and then the sample: the compounds of
# ../shared/data/chembl, or else those that `labhouse demo` makes. Files are put into landing/ and then crawled; what was
# loaded before is not loaded again. Large texts are cut into parts of PART_LINES lines or PART_RECORDS molecules, since a
# file is parsed in memory.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
labhouse=${LABHOUSE:-labhouse}
config=labhouse.toml
from=${CHEMBL_DIR:-}
part_lines=${PART_LINES:-500000}
part_records=${PART_RECORDS:-100000}

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --config) config=${2:?--config takes a file}; shift 2 ;;
    --from) from=${2:?--from takes a folder}; shift 2 ;;
    *) usage ;;
  esac
done
[ -f "$config" ] || { echo "load.sh: there is no config $config; make a lab with: labhouse demo" >&2; exit 2; }

# The lake of the config: a folder. A bucket is filled by `labhouse sync FOLDER --to s3://…/landing/chembl/`.
url=$(awk '/^\[/ { lake = /^\[lake\]/ } lake && /^url *=/ { gsub(/^url *= *"|" *(#.*)?$/, ""); print; exit }' "$config")
case $url in
  file://*) lake=${url#file://} ;;
  *://*) echo "load.sh: the lake $url is no folder; upload with labhouse sync" >&2; exit 2 ;;
  *) lake=$(cd "$(dirname "$config")" && cd "$url" && pwd) ;;
esac
landing=$lake/landing/chembl

unpacked() { case $1 in *.gz) gzip -dc -- "$1" ;; *) cat -- "$1" ;; esac; }

# Written aside under a hidden name and renamed: the crawler never meets a half file.
put() { # table, file
  mkdir -p "$landing/$1"
  cp -- "$2" "$landing/$1/.loading" && mv -- "$landing/$1/.loading" "$landing/$1/$(basename "$2")"
  echo "$2 -> lab.chembl.$1"
}

cut_up() { # table, file, name, ending, awk program that sets `part`
  local parts
  parts=$(mktemp -d "$lake/.chembl-XXXXXX")
  unpacked "$2" | awk -v dir="$parts" -v name="$3" -v ending="$4" -v lines="$part_lines" -v records="$part_records" "$5"
  mkdir -p "$landing/$1"
  local file
  for file in "$parts"/*; do
    mv -- "$file" "$landing/$1/.loading" && mv -- "$landing/$1/.loading" "$landing/$1/$(basename "$file")"
  done
  rmdir "$parts"
  echo "$2 -> lab.chembl.$1"
}

by_lines='NR == 1 { head = $0; next }
(NR - 2) % lines == 0 { if (out) close(out); out = sprintf("%s/%s_%04d.%s", dir, name, ++n, ending); print head > out }
{ print > out }'
by_records='!out { out = sprintf("%s/%s_%04d.%s", dir, name, ++n, ending) }
{ print > out }
/^\$\$\$\$/ && ++held % records == 0 { close(out); out = "" }'

load() { # folder
  local file name base found=0
  for file in "$1"/*; do
    [ -f "$file" ] || continue
    name=$(basename "$file")
    base=$(printf %s "${name%.gz}" | tr 'A-Z' 'a-z')
    case $base in
      *chemreps*.txt) cut_up chemreps "$file" "${base%.txt}" tsv "$by_lines" ;;
      *.sdf) cut_up molecules "$file" "${base%.sdf}" sdf "$by_records" ;;
      *_sqlite.tar | *_sqlite.tar.* | *.db)
        mkdir -p "$landing"
        # shellcheck disable=SC2086 # several names
        python3 "$here/export.py" "$file" "$landing" ${CHEMBL_TABLES:-} ;;
      *uniprot_mapping*.txt) put uniprot_mapping "$file" ;;
      readme* | checksums* | license* | *.html | *.fa | *.fps | *.h5 | *.dmp | *.tar | *_mysql* | *_postgres* | *_oracle*)
        echo "$file: left, it is no table as a file (export its tables as CSV or Parquet)"; continue ;;
      *.csv | *.tsv | *.txt | *.parquet) put "$(printf %s "${base%%.*}" | tr -c 'a-z0-9\n' '_')" "$file" ;;
      *) echo "$file: left, it is none of the files that are known here"; continue ;;
    esac
    found=1
  done
  [ $found = 1 ] || { echo "load.sh: no file of a release in $1" >&2; exit 1; }
}

if [ -n "$from" ]; then
  [ -d "$from" ] || { echo "load.sh: there is no folder $from" >&2; exit 2; }
  load "$from"
elif [ -d "$here/../../../shared/data/chembl" ]; then
  load "$here/../../../shared/data/chembl"
elif [ -d /work/shared/data/chembl ]; then
  load /work/shared/data/chembl
else
  echo "no release at hand (--from FOLDER, or CHEMBL_DIR): labhouse demo makes a sample, lab.chembl.compound_properties"
fi

# What was just written rests for a moment before it is read.
sleep "${SETTLE_S:-1}"
"$labhouse" crawl --config "$config" | { grep -E ' chembl/' || true; }
