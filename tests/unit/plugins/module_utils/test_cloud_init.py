# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloud_init import manage_etc_hosts

MAIN = "etc/cloud/cloud.cfg"
FIRST = "etc/cloud/cloud.cfg.d/05_first.cfg"
LATER = "etc/cloud/cloud.cfg.d/99_later.cfg"
INSTANCE = "var/lib/cloud/instance/cloud-config.txt"


def lay_out(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({MAIN: "users: []\n"}, None),
        ({MAIN: "manage_etc_hosts: true\n"}, ("true", MAIN)),
        ({MAIN: "a: 1\n\"manage_etc_hosts\" : 'localhost' # why\n"}, ("localhost", MAIN)),
        ({MAIN: "# manage_etc_hosts: true\n"}, None),
        ({MAIN: "manage_etc_hosts: False\n"}, None),
        ({MAIN: "manage_etc_hosts: true\n", LATER: "manage_etc_hosts: false\n"}, None),
        ({FIRST: "manage_etc_hosts: false\n", LATER: "manage_etc_hosts: template\n"}, ("template", LATER)),
        ({LATER: "manage_etc_hosts: false\n", INSTANCE: "#cloud-config\nmanage_etc_hosts: true\n"}, ("true", INSTANCE)),
        ({MAIN: "manage_etc_hosts: true\n", "etc/cloud/cloud-init.disabled": ""}, None),
        ({"etc/cloud/cloud.cfg.d/README": "manage_etc_hosts: true\n"}, None),
    ],
)
def test_the_setting_in_force_is_found(tmp_path, files, expected):
    lay_out(tmp_path, files)
    assert manage_etc_hosts(str(tmp_path)) == (expected and (expected[0], str(tmp_path / expected[1])))
