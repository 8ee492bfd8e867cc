# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import (
    HostsError,
    as_dicts,
    check_address,
    check_name,
    normalise,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def entry(address, *names):
    return {"address": address, "names": list(names)}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.2", "10.0.0.2"),
        ("2001:DB8:0:0::2", "2001:db8::2"),
        ("::1", "::1"),
    ],
)
def test_addresses_become_canonical(text, canonical):
    assert str(check_address(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "10.0.0", "10.0.0.256", "010.0.0.2", "0x0a000002", "167772162", "10.0.0.2/24", "fe80::1%eth0", "host",
     " 10.0.0.2", "10.0.0.2\n", "10.0.0.2 evil", "10.0.0.2#", "10.0.0.2\x00", "\u0663.0.0.1", "[::1]"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(HostsError, match="address"):
        check_address(text)


@pytest.mark.parametrize(
    "name", ["a", "zk1", "ZK1.Example.org", "3com.com", "a-b", "a--b", "xn--bcher-kva.example", "a" * 63, "1a", "a.b1"]
)
def test_host_names_of_rfc_1123(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "a\tb", "a\nb", "a\n", "a\r", "a\x00", "a\x0bb", "#a", "a#b",
     "a" * 64, ".".join(["a" * 63] * 4), "bücher", "\u017f", "\u212a", "10.0.0.1", "1", "a.1", "0x7f", "a.0x1", "fe80::1",
     r"\0", r"a\1", "$(id)"],
)  # fmt: skip
def test_what_is_no_host_name_is_refused(name):
    with pytest.raises(HostsError):
        check_name(name)


@pytest.mark.parametrize(
    "name",
    ["localhost", "LocalHost", "localhost.localdomain", "localhost6.localdomain6", "ip6-loopback", "ip6-allnodes",
     "foo.localhost", "broadcasthost", "loopback", "LOOPBACK", "ipv6-localhost", "ipv6-loopback", "ipv6-allrouters"],
)  # fmt: skip
def test_the_names_of_the_machine_itself_are_refused(name):
    with pytest.raises(HostsError, match="reserved"):
        check_name(name)


@given(st.text(max_size=12))
@settings(deadline=None, max_examples=300)
def test_no_name_breaks_a_line(text):
    try:
        name = check_name(text)
    except HostsError:
        return
    assert f"10.0.0.1\t{name}".encode().split() == [b"10.0.0.1", name.encode()]
    assert name.isascii()
    assert not set(name) & set("#\r\n\0")


def test_entries_are_folded_and_sorted_by_address():
    asked = [
        entry("fd00::2", "b"),
        entry("10.0.0.10", "c"),
        entry("10.0.0.9", "b", "B", "b.example.org"),
        entry("10.0.0.9", "b.example.org", "web"),
    ]
    assert normalise(asked) == [
        ("10.0.0.9", ("b", "b.example.org", "web")),
        ("10.0.0.10", ("c",)),
        ("fd00::2", ("b",)),
    ]


def test_the_order_of_the_entries_does_not_matter():
    asked = [entry("10.0.0.9", "a"), entry("fd00::1", "a"), entry("10.0.0.2", "b")]
    assert normalise(asked) == normalise(asked[::-1])


def test_one_name_on_two_addresses_of_a_family_is_refused():
    with pytest.raises(HostsError, match=r"entry 2: A is given two addresses, 10\.0\.0\.1 and 10\.0\.0\.2"):
        normalise([entry("10.0.0.1", "a"), entry("10.0.0.2", "A")])


def test_one_name_on_two_addresses_of_a_family_can_be_told_or_allowed():
    asked = [entry("10.0.0.1", "a"), entry("10.0.0.2", "A", "b"), entry("10.0.0.1", "a"), entry("fd00::1", "a")]
    both = [("10.0.0.1", ("a",)), ("10.0.0.2", ("A", "b")), ("fd00::1", ("a",))]
    told = []
    assert normalise(asked, "allow", told.append) == both
    assert told == []
    assert normalise(asked, "warn", told.append) == both
    assert told == ["entries: entry 2: A is given two addresses, 10.0.0.1 and 10.0.0.2"]
    with pytest.raises(HostsError, match=r"^entries: entry 5: 'b_c' is not a host name: [^;]*$"):
        normalise([*asked, entry("10.0.0.3", "b_c")], "allow")


def test_all_problems_are_reported_at_once():
    with pytest.raises(HostsError) as caught:
        normalise([entry("10.0.0.300", "a"), entry("10.0.0.1"), entry("10.0.0.2", "b_c")] + [entry("x", "a")] * 10)
    assert "entry 1: '10.0.0.300' is not" in str(caught.value)
    assert "entry 2: 10.0.0.1 has no names" in str(caught.value)
    assert "entry 3: 'b_c' is not a host name" in str(caught.value)
    assert "and 3 more" in str(caught.value)


def test_pairs_are_grouped():
    assert as_dicts([("10.0.0.1", "a"), ("10.0.0.2", "b"), ("10.0.0.1", "c")]) == [
        entry("10.0.0.1", "a", "c"),
        entry("10.0.0.2", "b"),
    ]
