# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks: damaged ones are refused, foreign ones adopted, conflicts told."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError, normalise
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_file import Request, check_block_name, make_plan
from hypothesis import given, settings
from hypothesis import strategies as st

BEGIN = b"# BEGIN aurora.cluster hosts: blue\n"
END = b"# END aurora.cluster hosts: blue\n"
RED_BEGIN = BEGIN.replace(b"blue", b"red")
RED_END = END.replace(b"blue", b"red")
HM_BEGIN = b"## vagrant-hostmanager-start\n"
HM_ID = b"## vagrant-hostmanager-start id: 1b2c\n"
HM_END = b"## vagrant-hostmanager-end\n"
BIF_BEGIN = b"# BEGIN ANSIBLE MANAGED BLOCK\n"
BIF_END = b"# END ANSIBLE MANAGED BLOCK\n"
BIF = r"blockinfile \(# BEGIN ANSIBLE MANAGED BLOCK, # END ANSIBLE MANAGED BLOCK\)"
USER = b"10.9.9.9 printer\n"
ENTRY = b"10.0.0.1\talpha\n"
BLOCK = BEGIN + ENTRY + END

HOSTMANAGER = {"writer": "vagrant_hostmanager", "id": None}
BLOCKINFILE = {
    "writer": "blockinfile",
    "marker": "# {mark} ANSIBLE MANAGED BLOCK",
    "marker_begin": "BEGIN",
    "marker_end": "END",
}


def request(names=("alpha",), address="10.0.0.1", state="present", **options):
    entries = normalise([{"address": address, "names": list(names)}]) if state == "present" else []
    defaults = {"format": "line_per_address", "loopback": "keep", "on_conflict": "fail", "adopt": []}
    return Request(block="blue", entries=entries, state=state, **{**defaults, **options})


def content(*parts, **options):
    return make_plan(b"".join(parts), request(**options)).content


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([BEGIN, ENTRY, USER], r"line 1 begins 'blue' and nothing ends it"),
        ([USER, ENTRY, END], r"line 3 ends blue that was not begun"),
        ([BLOCK, USER, BLOCK], r"line 5 begins 'blue' a second time"),
        ([BEGIN, ENTRY, USER, BLOCK], r"line 4 begins 'blue' before the one begun on line 1 has ended"),
        ([BLOCK, USER, END], r"line 5 ends blue that was not begun"),
        ([BEGIN, RED_BEGIN, RED_END, END], r"line 2 begins 'red' before the one begun on line 1 has ended"),
        ([RED_BEGIN, BLOCK, RED_END], r"line 2 begins 'blue' before the one begun on line 1 has ended"),
        ([RED_BEGIN, BLOCK], r"line 1|line 2 begins 'blue' before"),
        ([BEGIN, RED_END], r"line 2 ends red that was not begun; line 1 begins 'blue' and nothing ends it"),
        ([RED_BEGIN, USER], r"line 1 begins 'red' and nothing ends it"),
        ([BEGIN.lower(), END], r"line 1 looks like a marker"),
        ([USER, b" " + BEGIN, END], r"line 2 looks like a marker"),
        ([BEGIN, END.rstrip() + b" \n"], r"line 2 looks like a marker"),
        ([BEGIN, b"## END aurora.cluster hosts: blue\n"], r"line 2 looks like a marker"),
        ([b"# BEGIN aurora.cluster hosts:\n", END], r"line 1 looks like a marker"),
        ([b"# BEGIN aurora.cluster hosts: a b\n", END], r"line 1 looks like a marker"),
        ([BEGIN, HM_BEGIN, HM_END, END], r"lines 1-4 and one of vagrant-hostmanager with a marker on line 2, 3 are"),
        ([HM_BEGIN, BLOCK, HM_END], r"lines 2-4 and one of vagrant-hostmanager with a marker on line 1, 5 are nested"),
        ([BEGIN, BIF_BEGIN, ENTRY, END, USER, BIF_END], rf"lines 1-4 and one of {BIF} with a marker on line 2 are nested"),
        ([BIF_BEGIN, USER, BEGIN, BIF_END, END], rf"lines 3-5 and one of {BIF} with a marker on line 4 are nested"),
        ([BEGIN, BIF_BEGIN, USER, BIF_END, END], rf"lines 1-5 and one of {BIF} with a marker on line 2, 4 are nested"),
        ([BIF_BEGIN, USER, BLOCK, BIF_END], rf"lines 3-5 and one of {BIF} with a marker on line 1, 6 are nested"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("state", ["present", "absent"])
def test_damaged_blocks_are_refused(parts, told, state):
    with pytest.raises(HostsError, match=told):
        content(*parts, state=state)


def test_a_block_stays_where_it_is():
    assert content(USER, BEGIN, b"10.0.0.7\told\n", END, USER) == USER + BLOCK + USER


def test_blocks_of_other_names_are_left_alone():
    longer = BLOCK.replace(b"blue", b"blue2").replace(ENTRY, b"10.0.0.2\tbeta\n")
    assert content(longer, BLOCK) == longer + BLOCK
    assert content(longer, BLOCK, state="absent") == longer
    assert content(longer) == longer + BLOCK


def test_line_endings_of_the_file_are_the_blocks():
    crlf = b"127.0.0.1 localhost\r\n10.9.9.9 printer\r\n"
    assert content(crlf) == crlf + BLOCK.replace(b"\n", b"\r\n")
    assert content(content(crlf), state="absent") == crlf


def test_foreign_lines_inside_the_block_are_named():
    plan = make_plan(BEGIN + b"# mine\n" + ENTRY + USER + b"nonsense\n" + END, request())
    assert plan.content == BLOCK
    assert plan.warnings == ["line 2, 5 inside the block was no plain entry and is gone"]
    assert plan.removed == [{"address": "10.9.9.9", "names": ["printer"]}]
    assert plan.kept == [{"address": "10.0.0.1", "names": ["alpha"]}]


def test_foreign_lines_inside_an_adopted_block_are_named():
    lines = [USER, HM_BEGIN, ENTRY, b"# users note\n", b"10.0.0.3 gone # office\n", b"\n", HM_END]
    plan = make_plan(b"".join(lines), request(adopt=[HOSTMANAGER]))
    assert plan.content == USER + BLOCK
    assert plan.warnings == ["line 4, 5 inside an adopted block was no plain entry and is gone"]
    assert plan.removed == [{"address": "10.0.0.3", "names": ["gone"]}]


@pytest.mark.parametrize("name", ["", "a b", "-a", "a\n", "a]", "a=b", "a" * 64, "bücher"])
def test_block_names_that_could_break_a_marker_are_refused(name):
    with pytest.raises(HostsError, match="no block name"):
        check_block_name(name)


@pytest.mark.parametrize(
    ("parts", "adopt", "expected"),
    [
        ([USER, HM_BEGIN, ENTRY, HM_END, USER], [HOSTMANAGER], USER + BLOCK + USER),
        ([USER, HM_ID, ENTRY, HM_END], [{**HOSTMANAGER, "id": "1b2c"}], USER + BLOCK),
        ([HM_ID, ENTRY, HM_END], [{**HOSTMANAGER, "id": "other"}], HM_ID + ENTRY + HM_END + BLOCK),
        ([HM_ID, ENTRY, HM_END, HM_BEGIN, HM_END], [HOSTMANAGER], HM_ID + ENTRY + HM_END + BLOCK),
        ([HM_ID, ENTRY, HM_END, USER, HM_BEGIN, HM_END], [{**HOSTMANAGER, "id": "any"}], BLOCK + USER),
        ([BIF_BEGIN, ENTRY, BIF_END, USER], [BLOCKINFILE], BLOCK + USER),
        ([b"<a>\n", ENTRY, b"<z>\n"], [{**BLOCKINFILE, "marker": "<{mark}>", "marker_begin": "a", "marker_end": "z"}],
         BLOCK),
        ([USER, BLOCK, BIF_BEGIN, USER, BIF_END], [BLOCKINFILE], USER + BLOCK),
        ([BIF_BEGIN, USER, BIF_END, USER, BLOCK], [BLOCKINFILE], USER + BLOCK),
        ([HM_BEGIN, HM_END, USER, BIF_BEGIN, BIF_END], [BLOCKINFILE, HOSTMANAGER], BLOCK + USER),
        ([USER], [BLOCKINFILE, HOSTMANAGER], USER + BLOCK),
        ([BIF_BEGIN, USER, HM_BEGIN, HM_END, USER, BIF_BEGIN], [HOSTMANAGER], BIF_BEGIN + USER + BLOCK + USER + BIF_BEGIN),
    ],
)  # fmt: skip
def test_blocks_of_other_programs_are_adopted(parts, adopt, expected):
    adopted = content(*parts, adopt=adopt)
    assert adopted == expected
    assert content(adopted, adopt=adopt) == expected


def test_absent_removes_what_it_adopts():
    assert content(USER, HM_BEGIN, ENTRY, HM_END, BLOCK, adopt=[HOSTMANAGER], state="absent") == USER


def test_adopting_reports_what_the_old_block_held():
    plan = make_plan(HM_BEGIN + ENTRY + b"10.0.0.3\tgone\n\n" + HM_END, request(["alpha", "new"], adopt=[HOSTMANAGER]))
    assert plan.adopted == [{"first_line": 1, "last_line": 5}]
    assert plan.added == [{"address": "10.0.0.1", "names": ["new"]}]
    assert plan.removed == [{"address": "10.0.0.3", "names": ["gone"]}]
    assert plan.kept == [{"address": "10.0.0.1", "names": ["alpha"]}]


@pytest.mark.parametrize(
    ("parts", "adopt", "told"),
    [
        ([HM_BEGIN, ENTRY, USER], HOSTMANAGER, "line 1 begins a block without id and nothing ends it"),
        ([HM_BEGIN, USER, HM_BEGIN, ENTRY, HM_END], HOSTMANAGER, "line 3 begins a block without id before"),
        ([HM_BEGIN, HM_END, USER, HM_BEGIN, HM_END], HOSTMANAGER, "line 4 begins a block without id a second time"),
        ([USER, HM_END], HOSTMANAGER, "line 2 ends a block that was not begun"),
        ([BIF_BEGIN, USER], BLOCKINFILE, "line 1 begins '# BEGIN ANSIBLE MANAGED BLOCK' and nothing ends it"),
        ([BIF_BEGIN, BLOCK, BIF_END], BLOCKINFILE, "lines 1-5 and 2-4 are nested"),
        ([BIF_BEGIN, HM_BEGIN, BIF_END, HM_END], BLOCKINFILE, "lines 1-3 and one of vagrant-hostmanager .* line 2 are"),
        ([HM_BEGIN, BIF_BEGIN, HM_END, BIF_END], BLOCKINFILE, "lines 2-4 and one of vagrant-hostmanager .* line 3 are"),
        ([BIF_BEGIN, HM_ID, USER, HM_END, BIF_END], BLOCKINFILE, "lines 1-5 and one of vagrant-host.* line 2, 4 are"),
        (
            [HM_BEGIN, BIF_BEGIN, USER, BIF_END, HM_END],
            BLOCKINFILE,
            "lines 2-4 and one of vagrant-host.* line 1, 5 are",
        ),
        ([HM_BEGIN, BIF_BEGIN, HM_END, BIF_END], HOSTMANAGER, "lines 1-3 and one of blockinfile .* line 2 are nested"),
        (
            [BIF_BEGIN, b"# BEGIN x\n", BIF_END],
            {**BLOCKINFILE, "marker": "# {mark} x"},
            "line 2 begins '# BEGIN x' and",
        ),
        ([USER], {**BLOCKINFILE, "marker": "# no mark"}, "must contain {mark}"),
    ],
)
def test_damaged_blocks_are_not_adopted(parts, adopt, told):
    with pytest.raises(HostsError, match=told):
        content(*parts, adopt=[adopt])


def test_a_conflict_is_refused_with_the_line_and_what_to_do():
    with pytest.raises(HostsError) as caught:
        content(USER, b"10.7.7.7 x Alpha\n")
    assert "line 2 gives alpha the address 10.7.7.7" in str(caught.value)
    assert "on_conflict to warn or replace" in str(caught.value)


def test_a_conflict_can_be_told_or_replaced():
    line = b"10.7.7.7 x alpha\n"
    plan = make_plan(line, request(on_conflict="warn"))
    assert plan.content == line + BLOCK
    assert "line 1 gives alpha the address 10.7.7.7, and the resolver takes" in plan.warnings[0]
    plan = make_plan(line, request(on_conflict="replace"))
    assert plan.content == b"10.7.7.7 x # aurora.cluster released [blue=alpha] from: 10.7.7.7 x alpha\n" + BLOCK
    assert plan.released == [{"line": 1, "address": "10.7.7.7", "names": ["alpha"]}]
    assert plan.warnings == []
    assert content(plan.content, state="absent") == line


def test_the_same_address_elsewhere_is_no_conflict():
    line = b"10.0.0.1 alpha\n"
    assert content(line) == line + BLOCK


def test_another_block_is_never_reached_into():
    red = RED_BEGIN + b"10.7.7.7\talpha\n" + RED_END
    for policy in ("fail", "replace"):
        with pytest.raises(HostsError, match=r"line 2 gives alpha the address 10\.7\.7\.7 in the block 'red'"):
            content(red, on_conflict=policy)
    assert content(red, on_conflict="warn") == red + BLOCK
    loopback = red.replace(b"10.7.7.7", b"127.0.0.1")
    with pytest.raises(HostsError, match=r"line 2 gives alpha the address 127\.0\.0\.1 in the block 'red'"):
        content(loopback, loopback="release")


def test_kept_loopback_names_are_told():
    line = b"127.0.1.1 alpha\n"
    plan = make_plan(line, request())
    assert plan.content == line + BLOCK
    assert "line 1 gives alpha the address 127.0.1.1" in plan.warnings[0]
    assert "loopback=release takes it off there" in plan.warnings[0]


def test_a_cluster_of_this_machine_alone_keeps_its_loopback_line():
    line = b"127.0.0.1 localhost alpha\n"
    plan = make_plan(line, request(address="127.0.0.1", loopback="release"))
    assert plan.content.startswith(line)
    assert plan.warnings == []


def test_names_no_longer_claimed_return_to_their_line():
    line = b"127.0.1.1 alpha beta\n"
    here = content(line, names=["alpha", "beta"], loopback="release")
    assert content(here, names=["beta"], loopback="release").startswith(b"127.0.1.1 alpha # aurora.cluster released")
    assert content(here, names=["beta"], loopback="keep").startswith(line)


def test_the_note_about_a_missing_newline_outlives_lines_added_below():
    here = content(b"10.9.9.9 printer")
    assert content(here + USER, state="absent") == b"10.9.9.9 printer\n" + USER
    assert content(here, state="absent") == b"10.9.9.9 printer"


def test_a_blank_line_above_the_block_is_not_taken_for_the_newline_it_brought():
    here = content(b"10.9.9.9 printer").replace(b"printer\n", b"printer\n\n")
    assert content(here, state="absent") == b"10.9.9.9 printer\n\n"


RARE = [b"# BEGIN rare\n", b"# END rare\n"]
PAIRS = [[BEGIN, END], [RED_BEGIN, RED_END], [HM_BEGIN, HM_END], [HM_ID, HM_END], [BIF_BEGIN, BIF_END], RARE]
ADOPTED = [HOSTMANAGER, {**HOSTMANAGER, "id": "any"}, BLOCKINFILE, {**BLOCKINFILE, "marker": "# {mark} rare"}]
OWN = b"# users line "
plain = st.sampled_from([[ENTRY], [OWN]])
stray = st.sampled_from([[marker] for pair in PAIRS for marker in pair])


def joined(parts):
    return st.lists(parts, max_size=3).map(lambda lists: [line for part in lists for line in part])


def block_of(inside):
    return st.builds(lambda pair, lines: [pair[0], *lines, pair[1]], st.sampled_from(PAIRS), joined(inside))


@given(
    joined(st.one_of(plain, block_of(plain), block_of(st.one_of(plain, plain, block_of(plain), stray)))),
    st.lists(st.sampled_from(ADOPTED), max_size=3),
    st.sampled_from(["present", "absent"]),
)
@settings(deadline=None, max_examples=400)
def test_however_markers_are_mixed_no_line_goes_unnoticed(lines, adopt, state):
    lines = [line + b"%d\n" % number if line == OWN else line for number, line in enumerate(lines)]
    try:
        plan = make_plan(b"".join(lines), request(adopt=adopt, state=state, on_conflict="warn"))
    except HostsError:
        return
    told = {int(number) - 1 for text in plan.warnings if "is gone" in text for number in re.findall(r"[0-9]+", text)}
    blocks = [range(item["first_line"] - 1, item["last_line"]) for item in plan.adopted]
    if BEGIN in lines:
        blocks.append(range(lines.index(BEGIN), lines.index(END) + 1))
    # A marker nobody told of is a line like any other.
    known = {marker for pair in PAIRS if pair != RARE or ADOPTED[-1] in adopt for marker in pair}
    for block in blocks:
        inside = block[1:-1]
        assert not known & {lines[index] for index in inside}
        assert {index for index in inside if lines[index] != ENTRY} <= told
    removed = {index for block in blocks for index in block}
    kept = [line for index, line in enumerate(lines) if index not in removed]
    written = plan.content.splitlines(keepends=True)
    if state == "present":
        assert BLOCK in plan.content
        written = plan.content.replace(BLOCK, b"").splitlines(keepends=True)
    assert written == kept
