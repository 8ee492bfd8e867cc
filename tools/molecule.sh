#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every scenario under molecule/, one after another (or those named as arguments). Molecule calls a
# scenario without a single test a success; this does not.
set -euo pipefail
cd "$(dirname "$0")/.."

# Scenarios make machines of their own, never those of the cluster that `make up` made.
unset CLUSTER

scenarios=("$@")
if [ "${#scenarios[@]}" -eq 0 ]; then
  for file in molecule/*/molecule.yml; do
    [ -e "$file" ] && scenarios+=("$(basename "$(dirname "$file")")")
  done
fi
[ "${#scenarios[@]}" -gt 0 ] || { echo "molecule: no scenario under molecule/" >&2; exit 1; }

mkdir -p .cache/molecule
for scenario in "${scenarios[@]}"; do
  echo "== molecule: $scenario"
  log=".cache/molecule/$scenario.log"
  molecule test --scenario-name "$scenario" 2>&1 | tee "$log"
  # Counted to the end: a grep that leaves at the first match would break the pipe, which pipefail takes for a failure.
  passed="$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -cE '(^|[^0-9])[1-9][0-9]* passed' || true)"
  if [ "$passed" -eq 0 ]; then
    echo "molecule: scenario $scenario verified nothing: no 'N passed' in $log" >&2
    exit 1
  fi
done
