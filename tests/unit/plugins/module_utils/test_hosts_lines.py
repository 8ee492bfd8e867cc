# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_lines import (
    parse_entry,
    release,
    split_eol,
    split_lines,
    unrelease,
)
from hypothesis import given, settings
from hypothesis import strategies as st

LINE = b"127.0.1.1\talpha  Beta localhost # mine"


@given(st.binary())
@settings(deadline=None)
def test_lines_join_to_the_bytes_they_came_from(content):
    lines = split_lines(content)
    assert b"".join(lines) == content
    assert all(b"".join(split_eol(line)) == line for line in lines)
    assert all(line.endswith(b"\n") for line in lines[:-1])


def test_a_lone_carriage_return_ends_no_line():
    assert split_lines(b"a\rb\nc") == [b"a\rb\n", b"c"]


def test_a_released_line_keeps_its_other_names_and_remembers_itself():
    body = release(LINE, {"blue": [b"Beta"]})
    assert body == b"127.0.1.1\talpha localhost # aurora.cluster released [blue=Beta] from: " + LINE
    assert parse_entry(body) == (b"127.0.1.1", [b"alpha", b"localhost"])
    assert unrelease(body) == (LINE, {"blue": [b"Beta"]})


def test_a_line_that_loses_all_its_names_becomes_a_comment_in_its_place():
    body = release(b"127.0.1.1 alpha", {"blue": [b"alpha"]})
    assert body == b"# aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha"
    assert parse_entry(body) is None
    assert unrelease(body) == (b"127.0.1.1 alpha", {"blue": [b"alpha"]})


def test_two_blocks_share_a_line_whatever_the_order():
    both = release(LINE, {"red": [b"alpha"], "blue": [b"Beta"]})
    assert both == release(LINE, {"blue": [b"Beta"], "red": [b"alpha"]})
    original, released = unrelease(both)
    del released["blue"]
    assert release(original, released) == release(LINE, {"red": [b"alpha"]})


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        # a name added to what was left
        (b"127.0.1.1\tlocalhost printer # aurora.cluster released [blue=alpha] from: 127.0.1.1\talpha localhost",
         b"127.0.1.1\tlocalhost printer alpha"),
        # the released name put back by hand
        (b"127.0.1.1 localhost alpha # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha localhost",
         b"127.0.1.1 localhost alpha"),
        # another machine's line now
        (b"10.1.1.1 localhost # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha localhost",
         b"10.1.1.1 localhost"),
        # nothing left of it
        (b"# aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha localhost",
         b"127.0.1.1 alpha localhost"),
        # the same, where the line ends in a comment
        (b"127.0.1.1 printer lab # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha printer # office, ask Eve",
         b"127.0.1.1 printer lab alpha # office, ask Eve"),
        (b"10.1.1.1 printer # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha printer\t# office, ask Eve",
         b"10.1.1.1 printer\t# office, ask Eve"),
        (b"127.0.1.1 lab # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha #",
         b"127.0.1.1 lab alpha #"),
        (b"# aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha beta # office",
         b"127.0.1.1 alpha beta # office"),
    ],
)  # fmt: skip
def test_a_line_edited_since_keeps_the_edit(edited, expected):
    assert unrelease(edited) == (expected, {"blue": [b"alpha"]})


@pytest.mark.parametrize(
    "body",
    [
        b"#127.0.0.1 x # aurora.cluster released [blue=alpha] from: 127.0.0.1 alpha",
        b"127.0.0.1 x # aurora.cluster released [] from: 127.0.0.1 x",
        b"127.0.0.1 x # aurora.cluster released [alpha] from: 127.0.0.1 x",
        b"127.0.0.1 x # aurora.cluster released [b/l=alpha] from: 127.0.0.1 x",
        b"127.0.0.1 x # aurora.cluster released",
        b"",
    ],
)
def test_what_only_looks_like_a_released_line_is_left_alone(body):
    assert unrelease(body) == (body, {})


def test_a_long_run_of_blanks_costs_no_time():
    line = b"127.0.1.1 alpha beta" + b" " * 50_000
    begun = time.process_time()
    assert release(line, {"blue": [b"alpha"]}).startswith(
        b"127.0.1.1 beta # aurora.cluster released [blue=alpha] from: "
    )
    assert time.process_time() - begun < 1


names = st.lists(st.sampled_from([b"alpha", b"BETA", b"beta", b"gamma.x"]), min_size=1, max_size=4)


@given(
    st.sampled_from([b"", b" ", b"\t"]),
    st.sampled_from([b"127.0.0.1", b"::1", b"10.0.0.1"]),
    names,
    st.binary(max_size=6).filter(lambda tail: b"\n" not in tail),
    st.dictionaries(st.sampled_from(["blue", "red", "a.b_c-d"]), names, max_size=3),
)
@settings(deadline=None)
def test_releasing_is_reversible(indent, address, given_names, comment, released):
    original = indent + address + b" " + b"  ".join(given_names) + b" #" + comment
    back, remembered = unrelease(release(original, released))
    assert back == original
    assert remembered == released
