# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_pages import (
    collect,
    payload,
    rows_of,
)
from hypothesis import given
from hypothesis import strategies as st

LIST = "listVirtualMachines"


class Server:
    """A list behind a `fetch`, with the habits given."""

    def __init__(self, rows, largest=500, silent=False, count="total", meanwhile=None):
        self.rows, self.largest, self.silent, self.count = list(rows), largest, silent, count
        self.meanwhile = meanwhile or {}
        self.calls = []

    def fetch(self, page, pagesize):
        change = self.meanwhile.get(len(self.calls), self.meanwhile.get("always"))
        if change:
            change(self.rows)
        self.calls.append((page, pagesize))
        if pagesize > self.largest and not self.silent:
            raise CloudStackError(LIST, f"Page size can't exceed max allowed page size value: {self.largest}", "", 431)
        size = min(pagesize, self.largest)
        batch = self.rows[(page - 1) * size : page * size]
        if not batch:
            return {}
        answer = {"virtualmachine": [{"id": row} for row in batch]}
        if self.count:
            answer["count"] = len(self.rows) if self.count == "total" else len(batch)
        return answer

    def ids(self, size=500):
        rows, _size = collect(LIST, self.fetch, size, lambda text: None)
        return [row["id"] for row in rows]


@pytest.mark.parametrize("count", ["total", None, "page"])
@pytest.mark.parametrize("total", [0, 1, 9, 10, 11, 30, 35])
def test_all_rows_whatever_the_count_says(count, total):
    server = Server(range(total), 10, count=count)
    assert server.ids(10) == list(range(total))
    # One page is read once, if the count tells that it is the only one. Several are read twice.
    assert len(server.calls) <= (1 if count and total < 10 else 2 * (total // 10 + 2))


@pytest.mark.parametrize("count", ["total", None])
def test_a_server_with_smaller_pages_loses_nothing(count):
    refusing = Server(range(35), 10, count=count)
    assert refusing.ids() == list(range(35))
    assert refusing.calls[:2] == [(1, 500), (1, 10)]
    assert Server(range(35), 10, silent=True, count=count).ids() == list(range(35))


def test_a_size_is_found_if_the_server_does_not_tell_one():
    def fetch(page, pagesize):
        if pagesize > 100:
            raise CloudStackError(LIST, "pagesize is too large", "", 431)
        return {"virtualmachine": [{"id": 1}], "count": 1}

    assert collect(LIST, fetch, 500, print) == ([{"id": 1}], 62)


def test_another_431_is_not_about_pages():
    def fetch(page, pagesize):
        raise CloudStackError(LIST, "Invalid parameter zoneid value=5", "", 431)

    with pytest.raises(CloudStackError, match="zoneid"):
        collect(LIST, fetch, 500, print)


def test_a_server_that_ignores_pages_is_not_asked_for_ever():
    calls = []

    def fetch(page, pagesize):
        calls.append(page)
        return {"virtualmachine": [{"id": 1}, {"id": 2}]}

    assert len(collect(LIST, fetch, 2, print)[0]) == 2
    assert calls == [1, 2, 1, 2]


def test_a_row_pushed_over_the_edge_of_a_page_is_found():
    """Machine 0 vanishes between page 1 and 2, and machine 10 takes the last place of the page already read."""
    server = Server(range(25), 10, meanwhile={1: lambda rows: rows.remove(0)})
    assert server.ids(10) == list(range(1, 25))
    assert len(server.calls) == 9


def swap(rows):
    rows.pop(0)
    rows.append(999)


@pytest.mark.parametrize("count", ["total", None, "page"])
def test_one_that_goes_while_another_comes_hides_no_third(count):
    """The count stays, no row is repeated, and machine 10 is on neither page: all that tells is another pass."""
    server = Server(range(25), 10, count=count, meanwhile={1: swap})
    assert sorted(server.ids(10)) == [*range(1, 25), 999]


def test_a_list_that_stands_still_is_read_twice_and_says_nothing():
    server, said = Server(range(25), 10), []
    assert len(collect(LIST, server.fetch, 10, said.append)[0]) == 25
    assert (len(server.calls), said) == (6, [])


def test_without_a_count_a_shifted_list_shows_by_the_repeated_row():
    server = Server(range(25), 10, count=None, meanwhile={1: lambda rows: rows.insert(0, 99)})
    assert sorted(server.ids(10)) == [*range(25), 99]


def test_a_list_shorter_than_its_count_is_read_again():
    answers = [{"count": 3, "virtualmachine": [{"id": 1}, {"id": 2}]}, {}]
    answers.append({"count": 3, "virtualmachine": [{"id": 1}, {"id": 2}, {"id": 3}]})
    assert len(collect(LIST, lambda **page: answers.pop(0), 10, lambda text: None)[0]) == 3
    assert answers == []


def test_a_list_that_never_stands_still_gives_all_that_was_seen():
    """One machine less at each page: the first pass alone would miss machines that are there throughout."""
    server = Server(range(40), 10, meanwhile={"always": lambda rows: rows.pop(0) if rows[0] < 20 else None})
    assert set(server.ids(10)) >= set(range(20, 40))


changes_of_a_call = st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=1, max_size=4)


@given(
    st.integers(0, 60),
    st.dictionaries(st.integers(1, 4), changes_of_a_call, max_size=3),
    st.integers(2, 20),
    st.sampled_from(["total", None]),
)
def test_changes_during_one_reading_lose_no_machine_that_stays(total, changes, size, count):
    new = itertools.count(1000)

    def change(steps):
        def apply(rows):
            for grow, where in steps:
                if grow:
                    rows.insert(min(where, len(rows)), next(new))
                elif rows:
                    rows.pop(where % len(rows))

        return apply

    meanwhile = {call: change(steps) for call, steps in changes.items()}
    server = Server(range(total), size, count=count, meanwhile=meanwhile)
    assert set(server.ids(size)) >= set(server.rows) & set(range(total))


def test_a_template_is_listed_for_each_zone():
    rows = [{"id": "t", "zoneid": 1}, {"id": "t", "zoneid": 2}]
    answer = {"count": 2, "template": rows}
    assert collect("listTemplates", lambda **page: answer, 500, print)[0] == rows


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, []),
        ({"count": 0}, []),
        ({"virtualmachine": {}}, []),
        ({"virtualmachine": None}, []),
        ({"virtualmachine": {"id": 1}}, [{"id": 1}]),
        ({"count": 1, "virtualmachine": [{"id": 1}], "warnings": ["x"], "note": "y"}, [{"id": 1}]),
        ({"count": 1, "somethingelse": [{"id": 1}], "note": "y"}, [{"id": 1}]),
    ],
)
def test_rows_under_any_key_beside_any_others(answer, expected):
    assert rows_of(LIST, answer) == expected


def test_rows_that_could_be_either_list_are_refused():
    with pytest.raises(CloudStackError, match="several lists"):
        rows_of(LIST, {"a": [1], "b": [2]})


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("listPublicIpAddresses", "publicipaddress"),
        ("listPortForwardingRules", "portforwardingrule"),
        ("listSSHKeyPairs", "sshkeypair"),
        ("listCapabilities", "capability"),
    ],
)
def test_keys_follow_from_commands(command, key):
    assert rows_of(command, {key: [1], "other": [2]}) == [1]


def test_wrappers_are_taken_off():
    assert payload({"keypair": {"name": "k"}}) == {"name": "k"}
    assert payload({"success": True}) == {"success": True}
    assert payload({"virtualmachine": {"id": 1}, "jobid": "j"}) == {"id": 1}
    assert payload({}) == {}
