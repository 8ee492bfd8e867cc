# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every hosts file and every request, whatever the bytes."""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import normalise
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_file import Request, make_plan
from hypothesis import assume, given, settings
from hypothesis import strategies as st

NAMES = ["alpha", "beta", "gamma.example.org", "Delta", "epsilon-1"]
OTHERS = ["localhost", "printer", "alphabet", "x.alpha", "ip6-localhost"]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "fd00::1", "192.0.2.7"]
SEPARATORS = [b" ", b"\t", b"  \t"]
TAIL = [b"", b" ", b" # comment", b"\t#x # y"]

invariant = settings(deadline=None, max_examples=80)


@st.composite
def host_lines(draw):
    address = draw(
        st.sampled_from(["127.0.0.1", "127.0.1.1", "::1", "10.0.0.1", "10.9.9.9", "fe80::1%eth0", "#10.0.0.1"])
    )
    names = draw(st.lists(st.sampled_from(NAMES + OTHERS), min_size=0, max_size=4))
    parts = [address.encode()]
    for name in names:
        parts += [draw(st.sampled_from(SEPARATORS)), draw(st.sampled_from([name, name.upper()])).encode()]
    return draw(st.sampled_from([b"", b" "])) + b"".join(parts) + draw(st.sampled_from(TAIL))


def is_marker(line):
    return re.search(rb"hostmanager|(begin|end)\s+aurora", line, re.IGNORECASE)


noise = st.binary(max_size=12).filter(lambda line: b"\n" not in line and not is_marker(line))
blank = st.sampled_from([b"", b" ", b"\r", b"# a comment"])


@st.composite
def files(draw):
    lines = draw(st.lists(st.one_of(host_lines(), noise, blank), max_size=8))
    content = b"".join(line + draw(st.sampled_from([b"\n", b"\n", b"\r\n"])) for line in lines)
    if content and draw(st.booleans()):
        content = content[:-1]
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"])) + content


@st.composite
def requests(draw, block="blue", policy=st.sampled_from(["warn", "replace"]), loopback=None):
    duplicates = draw(st.sampled_from(["fail", "allow"]))
    taken = {}
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        for address in draw(st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3)):
            taken.setdefault((name, ":" in address if duplicates == "fail" else address), address)
    entries = [{"address": address, "names": [name]} for (name, _place), address in taken.items()]
    return Request(
        block=block,
        entries=normalise(entries, duplicates),
        state="present",
        format=draw(st.sampled_from(["line_per_address", "line_per_name"])),
        loopback=loopback or draw(st.sampled_from(["keep", "release"])),
        on_conflict=draw(policy),
        adopt=[],
    )


def apply(content, request):
    return make_plan(content, request).content


def remove(content, block="blue"):
    absent = Request(block, [], "absent", "line_per_address", "keep", "fail", [])
    return make_plan(content, absent).content


def cut(content, block=b"blue"):
    """(before, block, after), found without the code under test."""
    begin = content.index(b"# BEGIN aurora.cluster hosts: " + block)
    end = content.index(b"\n", content.index(b"# END aurora.cluster hosts: " + block)) + 1
    return content[:begin], content[begin:end], content[end:]


def active_entries(content):
    """(address, name) of every line, as a resolver reads the file."""
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        fields = line.split(b"#")[0].split()
        try:
            address = ipaddress.ip_address(fields[0].decode("ascii").split("%")[0])
        except (ValueError, IndexError):
            continue
        yield from ((str(address), name.decode("utf-8", "replace").lower()) for name in fields[1:])


def wanted(request):
    return {(address, name.lower()) for address, names in request.entries for name in names}


@invariant
@given(files(), requests(policy=st.just("warn"), loopback="keep"))
def test_outside_the_block_nothing_changes(content, request):
    before, block, after = cut(apply(content, request))
    assert after == b""
    eol = b"\r\n" if block.endswith(b"\r\n") else b"\n"
    ours = eol if b"# the line above this block had no newline" in block else b""
    assert before == content + ours
    assert before.endswith(b"\n") or not before.removeprefix(b"\xef\xbb\xbf")


@invariant
@given(files(), requests())
def test_applied_twice_is_applied_once(content, request):
    once = apply(content, request)
    plan = make_plan(once, request)
    assert plan.content == once
    assert plan.added == plan.removed == []


@invariant
@given(files(), requests(), requests())
def test_absent_restores_the_original_bytes(content, first, second):
    assert remove(apply(content, first)) == content
    assert remove(apply(apply(content, first), second)) == content


@invariant
@given(files(), requests(), requests())
def test_the_result_does_not_depend_on_what_was_there_before(content, first, second):
    assert apply(apply(content, first), second) == apply(content, second)


@invariant
@given(files(), requests())
def test_what_is_written_is_what_was_asked(content, request):
    _before, block, _after = cut(apply(content, request))
    assert sorted(active_entries(block)) == sorted(wanted(request))
    names = [name for _address, name in active_entries(block)]
    lines = [line for line in block.split(b"\n") if line[:1] not in (b"#", b"")]
    assert len(lines) == (len(names) if request.format == "line_per_name" else len(request.entries))


@invariant
@given(files(), requests(policy=st.just("replace"), loopback="release"))
def test_the_resolver_finds_no_other_address(content, request):
    asked = wanted(request)
    names = {name for _address, name in asked}
    found = {(address, name) for address, name in active_entries(apply(content, request)) if name in names}
    assert found == asked


@invariant
@given(files(), requests())
def test_only_our_names_leave_other_lines(content, request):
    names = {name for _address, name in wanted(request)}
    kept = [pair for pair in active_entries(content) if pair[1] not in names]
    assert [pair for pair in active_entries(apply(content, request)) if pair[1] not in names] == kept


@invariant
@given(files(), requests("blue"), requests("red"), st.booleans())
def test_two_blocks_live_side_by_side(content, blue, red, blue_first):
    assume(not {name for _address, name in wanted(blue)} & {name for _address, name in wanted(red)})
    both = apply(apply(content, blue), red)
    assert apply(both, blue) == both
    assert apply(both, red) == both
    order = ["blue", "red"] if blue_first else ["red", "blue"]
    one = remove(both, order[0])
    assert apply(one, red if blue_first else blue) == one
    assert remove(one, order[1]) == content


@invariant
@given(files(), requests(), requests(), host_lines(), st.integers(0, 30), st.sampled_from([b"\n", b"\r\n"]))
def test_lines_added_by_hand_survive(content, first, second, line, position, eol):
    assume(content.endswith(b"\n"))
    here = apply(content, first)
    before, block, after = cut(here)
    lines = before.split(b"\n")
    position %= len(lines) + 1
    if position == len(lines) or (position == 0 and content.startswith(b"\xef")):
        edited, expected = here + line + eol, content + line + eol
    else:
        edited = b"\n".join([*lines[:position], line + eol[:-1], *lines[position:]]) + block + after
        original = content.split(b"\n")
        expected = b"\n".join([*original[:position], line + eol[:-1], *original[position:]])
    assert remove(apply(edited, second)) == expected


@invariant
@given(files(), requests())
def test_the_report_is_the_difference(content, request):
    plan = make_plan(content, request)
    assert plan.removed == plan.kept == []
    assert plan.added == plan.entries
    empty = make_plan(plan.content, request._replace(entries=[]))
    assert (empty.added, empty.removed, empty.kept) == ([], plan.entries, [])
