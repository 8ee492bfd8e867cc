# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from where a component's programs come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLES = Path(__file__).parents[3] / "roles"


def value(role: str, name: str, **given):
    """One of a role's variables, as it comes out of its defaults and of what an inventory gives."""
    loader, variables = DataLoader(), {}
    for file in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLES / role / file / "main.yml"), trusted_as_template=True)
    return Templar(loader, variables={**variables, **given}).template(variables[name])


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ({}, "log4j.properties"),
        ({"zookeeper_install_method": "archive"}, "logback.xml"),
        ({"zookeeper_classpath": "/opt/zookeeper/lib/*"}, "logback.xml"),  # a package in upstream's layout
        ({"zookeeper_install_method": "none"}, "log4j.properties"),
    ],
)
def test_zookeeper_logs_with_what_its_classpath_holds(given, file):
    assert value("zookeeper", "__zookeeper_logging", **given)["file"] == file


@pytest.mark.parametrize(
    ("variable", "method", "program"),
    [
        ("program", {}, "/usr/sbin/mesos-agent"),
        ("program", {"mesos_slave_install_method": "archive"}, "/opt/mesos/sbin/mesos-agent"),
        ("observer_program", {"mesos_slave_install_method": "archive"}, "/usr/sbin/thermos_observer"),
        (
            "observer_program",
            {"mesos_slave_executor_install_method": "archive"},
            "/usr/share/aurora/bin/thermos_observer.pex",
        ),
    ],
)
def test_an_agents_programs_are_where_its_archives_bring_them(variable, method, program):
    assert value("mesos_slave", f"mesos_slave_{variable}", **method) == program
