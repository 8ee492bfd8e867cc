#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test sanity over the tree as it is, less the programs that are not Ansible's: embedded/ and tools/
# have their own shebangs, and the linters look at them. ansible-test insists on a path that ends in
# ansible_collections/NAMESPACE/NAME and on git, so it is given a copy with a repository of its own; its
# virtual environments live in .cache too, which makes the second run quick.
set -euo pipefail
cd "$(dirname "$0")/.."

venv="$PWD/.cache/venv"
home="$PWD/.cache/sanity/home"
copy="$PWD/.cache/sanity/ansible_collections/aurora/cluster"
log="$PWD/.cache/sanity/log.txt"
export PATH="$venv/bin:$PATH"

rm -rf "$copy"
mkdir -p "$copy" "$home/.ansible/test/cache"
git ls-files --cached --others --exclude-standard -z -- . ':!embedded' ':!tools' |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --create --null --files-from=- | tar --extract --directory="$copy"
git -C "$copy" init --quiet
git -C "$copy" add --all

# ansible-test fills empty environments by downloading a script that installs pip, and takes a script
# found in its cache first. Python carries pip itself, and that is enough.
pip_version="$(python3 - <<'PY'
from ansible_test._internal.python_requirements import get_venv_packages
from types import SimpleNamespace
print(get_venv_packages(SimpleNamespace(version="3"))["pip"].replace(".", "_"))
PY
)"
cat >"$home/.ansible/test/cache/get_pip_$pip_version.py" <<'PY'
import ensurepip

ensurepip.bootstrap()
PY

# ansible-test hides PIP_* variables from pip; a configuration file reaches it.
mkdir -p "$home/.config/pip"
pip config list | sed -n "s/^\(global\|install\|:env:\)\.\([^=]*\)='\(.*\)'$/\2 = \3/p" |
  { printf '[global]\nquiet = 1\n'; awk -F ' = ' '{value[$1] = $0} END {for (key in value) print value[key]}'; } >"$home/.config/pip/pip.conf"

# Each Python that works here is tested with; launchers for versions that are not installed are left out.
bin="$PWD/.cache/sanity/bin"
rm -rf "$bin"
mkdir "$bin"
for version in 3.8 3.9 3.10 3.12 3.13; do
  if real="$("python$version" -c 'import sys; print(sys.executable)' 2>/dev/null)"; then
    ln -s "$real" "$bin/python$version"
  fi
done

cd "$copy"
status=0
HOME="$home" PATH="$venv/bin:$bin:/usr/sbin:/usr/bin:/sbin:/bin" ansible-test sanity --color no "$@" 2>&1 | tee "$log" || status=$?

# Nothing tested must not look like all well.
ran="$(grep -c '^Running sanity test' "$log" || true)"
echo "sanity: $ran tests ran on Python $(python3 -c 'import platform; print(platform.python_version())'), exit status $status"
[ "$ran" -gt 0 ] || { echo "sanity: no test ran" >&2; exit 1; }
exit "$status"
