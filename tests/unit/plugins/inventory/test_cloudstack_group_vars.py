# SPDX-License-Identifier: GPL-3.0-or-later
"""Key and secret stand in one place: in group_vars/all beside the file, where the roles find them as well."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleParserError

FILE = """
endpoint: "{{ instances_cloudstack_endpoint }}"
key: "{{ instances_cloudstack_key }}"
secret: "{{ instances_cloudstack_secret }}"
tags:
  aurora_cluster: "{{ instances_cloudstack_cluster }}"
"""


@pytest.fixture
def variables(double, tmp_path, monkeypatch):
    """Write group_vars/all; the environment leads nowhere."""
    options = {f"instances_cloudstack_{name}": value for name, value in double.options().items()}
    for name in double.environment():
        monkeypatch.delenv(name)

    def write(path="group_vars/all/cloud.yml", **more):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump({**options, "instances_cloudstack_cluster": "blue", **more}))

    return write


@pytest.mark.parametrize("path", ["group_vars/all/cloud.yml", "group_vars/all.yml"])
def test_the_file_uses_them(double, variables, read, path):
    double.add_machine("mine", tags={"aurora_cluster": "blue"})
    double.add_machine("other", tags={"aurora_cluster": "green"})
    variables(path)
    assert read(FILE).names == ["mine"]


def test_they_may_be_templates_themselves(double, variables, read, monkeypatch):
    double.add_machine("mine", tags={"aurora_cluster": "green"})
    monkeypatch.setenv("NAME_OF_THE_CLUSTER", "green")
    variables(instances_cloudstack_cluster="{{ lookup('ansible.builtin.env', 'NAME_OF_THE_CLUSTER') }}")
    assert read(FILE).names == ["mine"]


def test_without_them_the_error_names_the_variable(variables, read):
    with pytest.raises(AnsibleParserError, match=r"cannot be filled in: 'instances_cloudstack_cluster' is undefined"):
        read(FILE)


def test_without_credentials_the_error_names_what_is_missing(variables, read):
    variables(instances_cloudstack_key="", instances_cloudstack_secret="")
    with pytest.raises(AnsibleParserError, match="lacks key and secret"):
        read(FILE)


def test_where_they_are_empty_the_environment_is_asked(double, variables, read, monkeypatch):
    double.add_machine("mine", tags={"aurora_cluster": "blue"})
    for name, value in double.environment().items():
        monkeypatch.setenv(name, value)
    variables(instances_cloudstack_key="", instances_cloudstack_secret="", instances_cloudstack_endpoint="")
    assert read(FILE).names == ["mine"]
