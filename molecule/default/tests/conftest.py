# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines."""

from __future__ import annotations

import os

import pytest
from scenario import ROOT, Scenario

CLUSTER = Scenario(os.environ["CLUSTER"], ROOT / "inventory/local.yml")


@pytest.fixture
def master():
    return CLUSTER.machine("mesos-master")
