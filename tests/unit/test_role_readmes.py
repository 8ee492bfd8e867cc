# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example in a role's README is one that preflight accepts, once the files it names are there."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.aurora.cluster.plugins.plugin_utils import _preflight_variables as preflight
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import COMPONENT_GROUPS, Problems

EXAMPLES = [
    pytest.param(readme.parent.name, example, id=f"{readme.parent.name}-{number}")
    for readme in sorted((Path(__file__).parents[2] / "roles").glob("*/README.md"))
    for number, example in enumerate(
        re.findall(r"^```yaml\n(.*?)^```$", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL), start=1
    )
]
ROLES = preflight.load_roles()
EMPTY = "sha256:" + hashlib.sha256(b"").hexdigest()


def sets_of_variables(example: dict) -> list[dict]:
    """The variables of each host of an example, which may also show groups, or the source of an inventory."""
    if set(example) <= set(COMPONENT_GROUPS):
        return [variables for group in example.values() for variables in group["hosts"].values()]
    return [] if set(example) == {"compose"} else [example]


def bring_files(variables: dict, role: preflight.Role, controller: Path) -> None:
    """Make the files on the controller that a host's variables name by whole paths."""
    for name, value in variables.items():
        prefix = name.removesuffix("_package_source")
        package = [
            variables.get(f"{prefix}_package_{part}", role.defaults.get(f"{prefix}_package_{part}"))
            for part in ("name", "version")
        ]
        source = value if isinstance(value, dict) else {}
        directory = source.get("directory")
        for file in (value, source.get("deb"), directory and f"{directory}/{'_'.join(package)}_amd64.deb"):
            if str(file).startswith(f"{controller}/"):
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                Path(file).touch()


def test_every_component_has_examples():
    assert {example.values[0] for example in EXAMPLES} >= set(COMPONENT_GROUPS)


@pytest.mark.parametrize(("role", "example"), EXAMPLES)
def test_preflight_accepts(role, example, tmp_path):
    example = yaml.safe_load(example.replace("{{ inventory_dir }}", str(tmp_path)).replace("sha256:…", EMPTY))
    for variables in sets_of_variables(example):
        assert [name for name in variables if preflight.role_of(name, ROLES) is None] == []
        bring_files(variables, ROLES[role], tmp_path)
        problems = Problems(["host"])
        groups = {"aurora_cluster": ["host"], role: ["host"]}
        preflight.check_role_variables({"host": variables}, groups, ROLES, problems)
        assert problems.lines() == []
