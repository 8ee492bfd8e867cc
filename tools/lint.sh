#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every linter over the whole tree; all of them run, so that one call shows all there is to mend.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

[ -t 1 ] || export NO_COLOR=1

failed=()
check() {
  echo "-- $*"
  "$@" || failed+=("$1")
}

mapfile -d '' -t files < <(git ls-files --cached --others --exclude-standard -z)
shell_files=()
for file in "${files[@]}"; do
  [ -f "$file" ] || continue
  case "$file" in
    *.j2 | *.md | *.rst) continue ;;
  esac
  if head -c 64 "$file" | head -n 1 | grep -qaE '^#!.*[/ ](ba|da)?sh( |$)'; then
    shell_files+=("$file")
  fi
done

check ruff check .
check ruff format --check .
check yamllint --strict .
check shellcheck "${shell_files[@]}"
check tools/role_reference.py --check
check ansible-lint --offline --strict

if [ "${#failed[@]}" -gt 0 ]; then
  echo "lint: failed: ${failed[*]}" >&2
  exit 1
fi
