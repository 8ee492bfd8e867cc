# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role promises: its defaults, its argument specs, its task files and its README say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROLES_DIR = Path(__file__).parents[2] / "roles"
ROLES = sorted(path.name for path in ROLES_DIR.iterdir() if path.is_dir())


def load(role: str, path: str):
    file = ROLES_DIR / role / path
    return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}


def defaults_of(role: str) -> dict:
    return load(role, "defaults/main.yml")


def entry_points(role: str) -> dict[str, dict]:
    specs = load(role, "meta/argument_specs.yml").get("argument_specs", {})
    return {entry: spec.get("options") or {} for entry, spec in specs.items()}


def is_literal(value) -> bool:
    return "{{" not in str(value) and "{%" not in str(value)


def test_there_are_roles():
    assert {"common", "zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler", "devtools"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_each_public_task_file_is_an_entry_point_with_a_spec(role):
    files = {path.stem for path in (ROLES_DIR / role / "tasks").glob("*.yml") if not path.stem.startswith("_")}
    specs = load(role, "meta/argument_specs.yml").get("argument_specs", {})
    assert files == set(specs), "a task file that is not an entry point starts with an underscore"
    for entry, spec in specs.items():
        assert spec.get("short_description"), f"entry point {entry} has no short_description"


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_documented(role):
    documented = set().union(*entry_points(role).values())
    assert set(defaults_of(role)) - documented == set()


@pytest.mark.parametrize("role", ROLES)
def test_every_option_is_required_or_has_a_default(role):
    defaults = defaults_of(role)
    for entry, options in entry_points(role).items():
        for name, option in options.items():
            where = f"{role}, entry point {entry}, {name}"
            if option.get("required"):
                assert name not in defaults, f"{where}: required and yet in defaults/main.yml"
                assert "default" not in option, f"{where}: required and yet with a default"
            else:
                assert name in defaults, f"{where}: neither required nor in defaults/main.yml"


@pytest.mark.parametrize("role", ROLES)
def test_spec_and_file_name_the_same_default(role):
    defaults = defaults_of(role)
    for entry, options in entry_points(role).items():
        for name, option in options.items():
            if name not in defaults or not is_literal(defaults[name]):
                continue
            where = f"{role}, entry point {entry}, {name}"
            empty = defaults[name] in ("", None, [], {})
            assert "default" in option or empty, f"{where}: the spec does not tell the default"
            if "default" in option:
                assert option["default"] == defaults[name], where


@pytest.mark.parametrize("role", ROLES)
def test_literal_defaults_pass_their_own_spec(role):
    literal = {name: value for name, value in defaults_of(role).items() if is_literal(value)}
    for entry, options in entry_points(role).items():
        spec = {name: {**option, "required": False} for name, option in options.items()}
        given = {name: value for name, value in literal.items() if name in spec}
        assert ArgumentSpecValidator(spec).validate(given).error_messages == [], f"{role}, entry point {entry}"


@pytest.mark.parametrize("role", ROLES)
def test_readme_names_every_variable(role):
    readme = (ROLES_DIR / role / "README.md").read_text(encoding="utf-8")
    names = set().union(*entry_points(role).values())
    assert sorted(name for name in names if name not in readme) == []
