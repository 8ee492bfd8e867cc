# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloud_init import manage_etc_hosts, warning

MAIN = "etc/cloud/cloud.cfg"
FIRST = "etc/cloud/cloud.cfg.d/05_first.cfg"
LATER = "etc/cloud/cloud.cfg.d/99_later.cfg"
RUNTIME = "run/cloud-init/cloud.cfg"
VENDOR = "var/lib/cloud/instance/vendor-cloud-config.txt"
VENDOR2 = "var/lib/cloud/instance/vendor2-cloud-config.txt"
INSTANCE = "var/lib/cloud/instance/cloud-config.txt"
ORDER = [MAIN, FIRST, LATER, RUNTIME, VENDOR, VENDOR2, INSTANCE]


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
        ({MAIN: "write_files:\n  - content: |\n      manage_etc_hosts: true\n"}, None),
        ({MAIN: "other: {manage_etc_hosts: true}\n"}, None),
        ({MAIN: "manage_etc_hosts: true\n", LATER: "manage_etc_hosts: false\n"}, None),
        ({FIRST: "manage_etc_hosts: false\n", LATER: "manage_etc_hosts: template\n"}, ("template", LATER)),
        ({LATER: "manage_etc_hosts: false\n", INSTANCE: "#cloud-config\nmanage_etc_hosts: true\n"}, ("true", INSTANCE)),
        ({MAIN: "manage_etc_hosts: true\n", "etc/cloud/cloud-init.disabled": ""}, None),
        ({"etc/cloud/cloud.cfg.d/README": "manage_etc_hosts: true\n"}, None),
        ({INSTANCE: "#cloud-config\n{manage_etc_hosts: true, fqdn: a}\n"}, ("true", INSTANCE)),
        ({INSTANCE: '#cloud-config\n---\n{\n  "fqdn": "a",\n  "manage_etc_hosts": "localhost"\n}\n'},
         ("localhost", INSTANCE)),
        ({INSTANCE: '{"fqdn":"a","manage_etc_hosts":true}'}, ("true", INSTANCE)),
        ({INSTANCE: "{\n  # manage_etc_hosts: true,\n  fqdn: a}\n"}, None),
        ({INSTANCE: "{other_manage_etc_hosts: true}\n"}, None),
    ],
)  # fmt: skip
def test_the_setting_in_force_is_found(tmp_path, files, expected):
    lay_out(tmp_path, files)
    assert manage_etc_hosts(str(tmp_path)) == (expected and (expected[0], str(tmp_path / expected[1])))


@pytest.mark.parametrize("value", ["true", "True", "1", "yes", "ON", "template", "localhost"])
def test_values_that_mean_on(tmp_path, value):
    lay_out(tmp_path, {MAIN: f"manage_etc_hosts: {value}\n"})
    assert manage_etc_hosts(str(tmp_path)) == (value.lower(), str(tmp_path / MAIN))


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "n", "f", "off", "", "null", "~", "2"])
def test_values_that_mean_off(tmp_path, value):
    lay_out(tmp_path, {FIRST: "manage_etc_hosts: true\n", LATER: f"manage_etc_hosts: {value}\nother: true\n"})
    assert manage_etc_hosts(str(tmp_path)) is None


@pytest.mark.parametrize(("weaker", "stronger"), list(zip(ORDER, ORDER[1:])))
def test_sources_outrank_each_other_as_cloud_init_has_it(tmp_path, weaker, stronger):
    lay_out(tmp_path, {weaker: "manage_etc_hosts: true\n"})
    assert manage_etc_hosts(str(tmp_path)) == ("true", str(tmp_path / weaker))
    lay_out(tmp_path, {stronger: "manage_etc_hosts: false\n"})
    assert manage_etc_hosts(str(tmp_path)) is None
    lay_out(tmp_path, {weaker: "manage_etc_hosts: false\n", stronger: "manage_etc_hosts: localhost\n"})
    assert manage_etc_hosts(str(tmp_path)) == ("localhost", str(tmp_path / stronger))


@pytest.mark.parametrize("origin", ORDER)
def test_the_remedy_is_a_place_that_is_not_outranked(tmp_path, origin):
    lay_out(tmp_path, {origin: "manage_etc_hosts: true\n"})
    told = warning("/etc/hosts", "keep", str(tmp_path))
    assert f"because {tmp_path / origin} says manage_etc_hosts: true; set manage_etc_hosts: false " in told
    assert told.endswith("in the machine's user data")
    assert ("false there or in" in told) == origin.startswith("etc/")


def test_the_machines_own_line_matters_only_where_it_is_released(tmp_path):
    lay_out(tmp_path, {MAIN: "manage_etc_hosts: localhost\n"})
    assert warning("/etc/hosts", "keep", str(tmp_path)) is None
    assert "own name back on a loopback line" in warning("/etc/hosts", "release", str(tmp_path))
