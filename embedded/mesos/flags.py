#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the flags that mesos-master or mesos-agent knows, aliases included, as the YAML list a role carries.

usage: flags.py PROGRAM VARIABLE > roles/ROLE/vars/flags.yml
"""

from __future__ import annotations

import re
import subprocess
import sys


def known_flags(program: str) -> list[str]:
    """The names in --help, sorted. A line is `  --name=VALUE or --[no-]alias   text`; only flags start in column 2."""
    text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    names = set()
    for line in text.splitlines():
        if entry := re.match(r"  (--\S+(?: or --\S+)?)", line):
            names.update(re.findall(r"--(?:\[no-\])?(\w+)", entry[1]))
    return sorted(names)


def render(program: str, variable: str) -> str:
    name = program.rpartition("/")[2]
    entries = "".join(f"  - {flag}\n" for flag in known_flags(program))
    return f"---\n# Every flag of {name} 1.11.0, aliases included; written by embedded/mesos/flags.py.\n{variable}:\n{entries}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    sys.stdout.write(render(*sys.argv[1:]))
