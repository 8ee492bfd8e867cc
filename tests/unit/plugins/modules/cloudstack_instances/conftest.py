# SPDX-License-Identifier: GPL-3.0-or-later
"""The module cloudstack_instances, run in this process against a double of the cloud."""

from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.aurora.cluster.plugins.modules import cloudstack_instances
from doubles.cloudstack import Double


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No settings of whoever runs the tests, and jobs looked at often."""
    monkeypatch.setenv("CLOUDSTACK_POLL_INTERVAL", "0.02")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ENDPOINT", "KEY", "SECRET", "CONFIG", "REGION"):
        monkeypatch.delenv(f"CLOUDSTACK_{name}", raising=False)


@pytest.fixture
def double():
    with Double() as double:
        yield double


@pytest.fixture
def logged(monkeypatch):
    """What the module writes to the machine's log."""
    lines: list[str] = []
    basic = "ansible.module_utils.basic.AnsibleModule"
    monkeypatch.setattr(f"{basic}._log_to_syslog", lambda module, text: lines.append(text))
    return lines


@pytest.fixture
def run(capsys, monkeypatch, double, logged):
    """Run the module; its result, with `failed` false where it did not fail."""
    # Warnings belong to the process, and this one runs the module again and again.
    warnings: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda module, text: warnings.append(text))

    def run(check_mode=False, user="alice", **options):
        arguments = {**double.options(user), **options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
        warnings.clear()
        logged.clear()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            cloudstack_instances.main()
        result = json.loads(capsys.readouterr().out)
        return {"failed": False, **result, "warnings": list(warnings)}

    return run
