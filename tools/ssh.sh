#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A shell on one of this computer's machines, or a command: tools/ssh.sh HOST [COMMAND...]
set -euo pipefail

cluster="${CLUSTER:-aurora}"
config="/var/lib/aurora-cluster/$cluster/ssh_config"
if [ ! -e "$config" ]; then
  echo "ssh: there are no machines of the cluster $cluster here ($config is missing): run 'make up' first" >&2
  exit 1
fi
if [ -z "${1:-}" ]; then
  echo "usage: make ssh HOST=name, where name is one of: $(awk '$1 == "Host" && $2 != "*" {printf "%s ", $2}' "$config")" >&2
  exit 2
fi
exec ssh -F "$config" "$@"
