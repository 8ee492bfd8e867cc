# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.aurora.cluster.plugins.filter.local_machines import (
    local_apt_sources,
    local_bridge,
    local_subnet,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)
TARGETS = [
    "http://mirror.example/debian/ bookworm main",
    "http://mirror.example/debian/ bookworm non-free-firmware",
    "http://mirror.example/debian/ bookworm-updates main",
    "http://mirror.example/debian-security/ bookworm-security main",
    "http://mirror.example/debian/ bookworm-backports main",
]


def test_a_set_keeps_its_subnet_and_bridge():
    # These are where running machines are: a change of the rule would lose them.
    assert local_subnet("aurora") == "10.91.137"
    assert local_bridge("aurora") == "ac-aurora"
    assert local_bridge("a-much-longer-name") == "ac-a-muc-2a0da3"


@given(NAMES)
def test_every_name_gives_a_network_and_an_interface_name(name):
    first, last = ipaddress.ip_address("10.64.0.0"), ipaddress.ip_address("10.191.255.255")
    network = ipaddress.ip_network(local_subnet(name) + ".0/24")
    assert first <= network[0] <= network[-1] <= last
    assert 0 < len(local_bridge(name)) <= 15


@given(NAMES, NAMES)
def test_two_sets_never_share_a_bridge(one, other):
    assert (local_bridge(one) == local_bridge(other)) == (one == other)


@pytest.mark.parametrize("name", ["", "Blue", "-a", "a-", "1a", "a_b", "a" * 21, "a/b", None, 7])
def test_a_name_that_no_directory_or_interface_could_have_is_refused(name):
    with pytest.raises(AnsibleFilterError, match=r"instances_local_cluster is .* small letters"):
        local_subnet(name)


def test_sources_of_the_same_release():
    assert local_apt_sources(TARGETS, "bookworm") == [
        {
            "uri": "http://mirror.example/debian",
            "upstream": "http://mirror.example/debian",
            "suite": "bookworm",
            "components": ["main", "non-free-firmware"],
        },
        {
            "uri": "http://mirror.example/debian",
            "upstream": "http://mirror.example/debian",
            "suite": "bookworm-updates",
            "components": ["main"],
        },
        {
            "uri": "http://mirror.example/debian-security",
            "upstream": "http://mirror.example/debian-security",
            "suite": "bookworm-security",
            "components": ["main"],
        },
    ]


def test_another_release_from_the_same_archives():
    suites = [source["suite"] for source in local_apt_sources(TARGETS, "trixie")]
    assert suites == ["trixie", "trixie-updates", "trixie-security"]


def test_https_goes_through_the_cache_as_http():
    (source,) = local_apt_sources(["https://mirror.example:8443/debian/ bookworm main"], "bookworm")
    assert source["uri"] == "http://mirror.example:8443/debian"
    assert source["upstream"] == "https://mirror.example:8443/debian"


def test_a_list_of_mirrors_stands_for_its_first(tmp_path):
    mirrors = tmp_path / "debian.list"
    mirrors.write_text("# ours\nhttps://near.example/debian\tpriority:1\nhttp://far.example/debian\n")
    (source,) = local_apt_sources([f"mirror+file:{mirrors}/ bookworm main"], "bookworm")
    assert source["upstream"] == "https://near.example/debian"


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "name no Debian archive"),
        (["http://mirror.example/debian/ bookworm-updates main"], "name no Debian archive"),
        (["file:/srv/debian/ bookworm main"], "reads only http and https"),
    ],
)
def test_sources_that_cannot_serve_are_refused(targets, message):
    with pytest.raises(AnsibleFilterError, match=message):
        local_apt_sources(targets, "bookworm")
