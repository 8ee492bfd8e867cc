#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write each role's argument specs into its README, between the two reference markers.

role_reference.py          rewrite the READMEs
role_reference.py --check  change nothing; exit 1 and name the READMEs that are out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- reference: written by tools/role_reference.py -->", "<!-- end of reference -->"


def plain(text: str | list[str]) -> str:
    """Turn ansible-doc's markup into Markdown: C(x), V(x), O(x) become code."""
    joined = " ".join(text) if isinstance(text, list) else text
    return re.sub(r"\b[CVO]\(((?:[^()]|\([^()]*\))*)\)", r"`\1`", joined).replace("|", "\\|")


def cell(value: object) -> str:
    return "" if value is None else f"`{value}`" if value not in ("", [], {}) else "empty"


def reference(role: Path) -> str:
    """Return the Markdown of a role's entry points and variables."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8")) or {}
    lines = ["### Entry points", ""]
    lines += [f"- `{entry}`: {plain(spec['short_description'])}" for entry, spec in specs.items()]
    lines += ["", "### Variables", "", "| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    seen: set[str] = set()
    for spec in specs.values():
        for name, option in (spec.get("options") or {}).items():
            if name in seen:
                continue
            seen.add(name)
            default = defaults.get(name)
            shown = "required" if option.get("required") else "composed" if "{{" in str(default) else cell(default)
            choices = (
                f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}." if "choices" in option else ""
            )
            keys = f" Keys: {', '.join(f'`{key}`' for key in option['options'])}." if "options" in option else ""
            lines.append(f"| `{name}` | {option['type']} | {shown} | {plain(option['description'])}{choices}{keys} |")
    return "\n".join(lines)


def main() -> int:
    stale = []
    for readme in sorted(ROOT.glob("roles/*/README.md")):
        text = readme.read_text(encoding="utf-8")
        if BEGIN not in text:
            sys.exit(f"{readme.relative_to(ROOT)} lacks the line {BEGIN}")
        head, rest = text.split(BEGIN, 1)
        tail = rest.split(END, 1)[1]
        wanted = f"{head}{BEGIN}\n\n{reference(readme.parent)}\n\n{END}{tail}"
        if wanted != text:
            stale.append(str(readme.relative_to(ROOT)))
            if "--check" not in sys.argv:
                readme.write_text(wanted, encoding="utf-8")
    print("\n".join(stale))
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
