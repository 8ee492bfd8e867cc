# SPDX-License-Identifier: GPL-3.0-or-later
"""tools/molecule.sh takes a scenario for passed only if it verified something and left nothing behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    """Run the script on a checkout of one scenario, with a molecule that says what it is told, and find's findings likewise."""

    def act(said: str = "3 passed in 1 s", found: str = "", cluster: str = "mol-trial") -> subprocess.CompletedProcess:
        for name in ("tools", "bin", "molecule/trial", ".cache"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "tools/molecule.sh").symlink_to(ROOT / "tools/molecule.sh")
        (tmp_path / ".cache/collections").symlink_to(ROOT / ".cache/collections")
        (tmp_path / "molecule/trial/molecule.yml").write_text(f"env: {{CLUSTER: {cluster}}}\n")
        for name, words in {"molecule": said, "find": found}.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho '{words}'\n")
            (tmp_path / "bin" / name).chmod(0o755)
        return subprocess.run(
            [tmp_path / "tools/molecule.sh"],
            env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
            check=False,
            capture_output=True,
            text=True,
        )

    return act


def test_a_scenario_that_verified_and_cleared_up_passes(run):
    done = run()
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ({"said": "0 passed"}, "scenario trial verified nothing: no 'N passed' in .cache/molecule/trial.log"),
        (
            {"found": "/sys/class/net/ac-mol-trial"},
            "scenario trial left behind after destroy: /sys/class/net/ac-mol-trial",
        ),
        ({"cluster": "mol-trials"}, "scenario trial must call its set of machines mol-trial, by which"),
    ],
)
def test_another_fails_in_one_sentence(run, what, told):
    done = run(**what)
    assert done.returncode == 1
    assert done.stderr.startswith(f"molecule: {told}")
    assert len(done.stderr.splitlines()) == 1
