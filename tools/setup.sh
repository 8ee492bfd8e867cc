#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make what work in this checkout needs; say little and do nothing when it is there.
# setup.sh        for the playbooks and the packages
# setup.sh test   for the tests as well
set -euo pipefail
cd "$(dirname "$0")/.."

apt_packages=(binutils g++ git openssh-client python3-apt python3-venv shellcheck)
# A browser, TLS certificates, keys of an apt repository, and what the embedded packages need when they are tried on this computer.
test_packages=(chromium default-jre-headless gpg gpg-agent iproute2 libapr1 libcurl4 libsasl2-modules libsvn1 libzookeeper-java openssl
  procps python3-jinja2 python3-kazoo)
[ "${1:-}" != test ] || apt_packages+=("${test_packages[@]}")

install_apt_packages() {
  local missing=() package
  for package in "${apt_packages[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "tools: installing ${missing[*]}"
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "tools: these packages are missing; install them, or run this as root on Debian" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-cache policy "${missing[0]}" | grep -q 'Candidate: [0-9]'; then
    apt-get update
  fi
  # Lists that are there may name versions that the mirror no longer has.
  apt-get install --yes --no-install-recommends "${missing[@]}" ||
    { apt-get update && apt-get install --yes --no-install-recommends "${missing[@]}"; }
}

make_venv() {
  local wanted
  wanted="$(cat requirements.txt requirements-dev.txt constraints.txt | sha256sum)"
  [ "$(cat .cache/venv/wanted 2>/dev/null)" != "$wanted $PWD" ] || return 0
  if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "tools: python3 is $(python3 --version); the tools need 3.11 or newer" >&2
    return 1
  fi
  echo "tools: installing pinned packages into .cache/venv"
  # The scripts in a virtual environment name its place: one that was moved is made anew.
  grep -qsF "$PWD/.cache/venv" .cache/venv/bin/pip || python3 -m venv --clear .cache/venv
  .cache/venv/bin/python -m pip install --progress-bar off --requirement requirements-dev.txt
  echo "$wanted $PWD" >.cache/venv/wanted
}

link_collection() {
  local link=.cache/collections/ansible_collections/aurora/cluster
  mkdir -p "$(dirname "$link")"
  [ "$(readlink "$link")" = "$PWD" ] || ln -sfn "$PWD" "$link"
}

mkdir -p .cache
install_apt_packages
make_venv
link_collection
