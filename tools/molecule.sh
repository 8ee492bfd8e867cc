#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every scenario under molecule/, one after another (or those named as arguments). Molecule calls a
# scenario without a single test a success, and one that leaves machines behind; this does not.
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

# What is there of a set of machines: its directory, its bridge, its cgroups, its lines in the hosts file, and mounts below the
# directory, in the namespaces of all processes, for a machine's mounts show in its own alone.
remains() {
  local bridge
  bridge="$(PYTHONPATH=.cache/collections python -c '
import sys
from ansible_collections.aurora.cluster.plugins.filter.local_machines import local_bridge
print(local_bridge(sys.argv[1]))' "$1")"
  {
    find "/var/lib/aurora-cluster/$1" "/sys/class/net/$bridge" -maxdepth 0
    find /sys/fs/cgroup -maxdepth 3 -path "*/aurora-cluster/$1"
    find /run/systemd/nspawn/propagate -maxdepth 1 -name "$1-*"
    grep -nwF "aurora.cluster hosts: $1" /etc/hosts | sed 's/^/\/etc\/hosts:/'
    cat /proc/[0-9]*/mounts | grep -oE "/var/lib/aurora-cluster/$1/[^ ,]+" | sort -u
  } 2>/dev/null || true
}

mkdir -p .cache/molecule
for scenario in "${scenarios[@]}"; do
  echo "== molecule: $scenario"
  # Machines of this name alone are the scenario's: others may come and go meanwhile.
  if ! grep -rqwF --include='*.yml' "mol-$scenario" "molecule/$scenario"; then
    echo "molecule: scenario $scenario must call its set of machines mol-$scenario, by which its remains are found" >&2
    exit 1
  fi
  log=".cache/molecule/$scenario.log"
  molecule test --scenario-name "$scenario" 2>&1 | tee "$log"
  # Counted to the end: a grep that leaves at the first match would break the pipe, which pipefail takes for a failure.
  passed="$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -cE '(^|[^0-9])[1-9][0-9]* passed' || true)"
  if [ "$passed" -eq 0 ]; then
    echo "molecule: scenario $scenario verified nothing: no 'N passed' in $log" >&2
    exit 1
  fi
  left="$(remains "mol-$scenario")"
  if [ -n "$left" ]; then
    echo "molecule: scenario $scenario left behind after destroy: ${left//$'\n'/, }" >&2
    exit 1
  fi
done
