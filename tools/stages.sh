#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Run make targets in order, stop at the first that fails, and end with the time each took.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$#" -gt 0 ] || { echo "usage: tools/stages.sh TARGET..." >&2; exit 2; }
summary=""
finish() {
  printf '\n== Stages\n%b' "$summary"
}
trap finish EXIT

for stage in "$@"; do
  printf '\n== %s\n' "$stage"
  started=$SECONDS
  if make --no-print-directory "$stage"; then
    summary+="$(printf '%-14s passed %4d s' "$stage" $((SECONDS - started)))\n"
  else
    summary+="$(printf '%-14s FAILED %4d s' "$stage" $((SECONDS - started)))\n"
    exit 1
  fi
done
summary+="$(printf '%-14s        %4d s' total "$SECONDS")\n"
