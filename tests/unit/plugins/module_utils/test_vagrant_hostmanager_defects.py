# SPDX-License-Identifier: GPL-3.0-or-later
"""The defects vagrant-hostmanager can be shown to have, each reproduced on its algorithm and absent from ours."""

from __future__ import annotations

import re

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError, normalise
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_file import BEGIN, END, Request, make_plan

START, STOP = "## vagrant-hostmanager-start", "## vagrant-hostmanager-end"
ID = " id: 7a9e"
LOCALHOST = "127.0.0.1\tlocalhost\n"
FRY = (("10.0.5.2", ["fry", "test-alias"]), ("10.0.5.3", ["bender"]))


def hostmanager(content, machines, identity=""):
    """What it makes of a file: text with newlines normalised, the first match replaced, else the block appended."""
    text = content.decode("utf-8").replace("\r\n", "\n").replace("\r", "")
    header = START + identity
    body = "".join(
        "".join(f"{address}\t{name}\n" for name in names) + "\n" * (len(names) < 2) for address, names in machines
    )
    block = f"\n\n{header}\n{body}{STOP}\n\n" if machines else "\n"
    pattern = re.compile(rf"[\r\n]*{re.escape(header)}.*?{re.escape(STOP)}[\r\n]*", re.DOTALL)
    found = pattern.search(text)
    if not found:
        return (text.rstrip() + block).encode()
    # Its replacement is a template, in which \0 stands for what was matched.
    return (text[: found.start()] + block.replace(r"\0", found.group(0)) + text[found.end() :]).encode()


def ours(content, machines=FRY, identity=None, adopt=True):
    request = Request(
        block="blue",
        entries=normalise([{"address": address, "names": names} for address, names in machines]),
        state="present",
        format="line_per_name",
        loopback="keep",
        on_conflict="fail",
        adopt=[{"writer": "vagrant_hostmanager", "id": identity}] if adopt else [],
    )
    return make_plan(content, request).content


def test_the_model_writes_the_bytes_of_the_real_one():
    written = (
        b"127.0.0.1\tlocalhost\n\n## vagrant-hostmanager-start\n10.0.5.2\tfry\n10.0.5.2\ttest-alias\n"
        b"10.0.5.3\tbender\n\n## vagrant-hostmanager-end\n\n"
    )
    first = hostmanager(LOCALHOST.encode(), FRY)
    assert first == written
    assert hostmanager(first, FRY) == written
    assert hostmanager(first, []) == LOCALHOST.encode()


def test_1_a_missing_end_marker_costs_the_users_lines():
    damaged = f"{LOCALHOST}{START}\n10.0.5.2\tfry\n10.9.9.9 printer\n".encode()
    assert b"printer" not in hostmanager(hostmanager(damaged, FRY), FRY)

    with pytest.raises(HostsError, match="line 2 begins a block without id and nothing ends it"):
        ours(damaged)
    own = damaged.replace(START.encode(), (BEGIN + "blue").encode())
    with pytest.raises(HostsError, match="line 2 begins 'blue' and nothing ends it"):
        ours(own)


def test_2_the_second_of_two_blocks_goes_stale():
    block = f"{START}\n10.0.0.99\tfry\n{STOP}\n"
    twice = f"{LOCALHOST}{block}10.9.9.9 printer\n{block}".encode()
    assert b"10.0.0.99\tfry" in hostmanager(twice, FRY)

    with pytest.raises(HostsError, match="line 6 begins a block without id a second time"):
        ours(twice)


def test_3_a_block_without_id_eats_one_with_an_id():
    with_id = f"{LOCALHOST}{START}{ID}\n10.0.0.99\tother\n{STOP}\n".encode()
    assert b"other" not in hostmanager(with_id, FRY)

    assert ours(with_id).startswith(with_id)
    longer = ours(b"", [("10.0.0.99", ["other"])], adopt=False).replace(b"blue", b"blue2")
    assert ours(longer).startswith(longer)


def test_4_a_name_can_bring_the_old_block_back():
    before = hostmanager(LOCALHOST.encode(), [("10.0.0.99", ["old"])])
    assert b"10.0.0.99\told" in hostmanager(before, [("10.0.5.2", [r"\0"])])

    with pytest.raises(HostsError, match="is not a host name"):
        ours(before, [("10.0.5.2", [r"\0"])])


def test_5_a_byte_that_is_no_utf_8_ends_the_run():
    content = b"127.0.0.1\tlocalhost\n10.9.9.9\tprinter # caf\xe9\n"
    with pytest.raises(UnicodeDecodeError):
        hostmanager(content, FRY)

    assert ours(content).startswith(content)


def test_6_carriage_returns_are_stripped_from_the_whole_file():
    content = b"127.0.0.1\tlocalhost\n10.9.9.9\tprinter\r\n10.9.9.8\tscanner\n"
    assert b"\r" not in hostmanager(content, FRY)

    assert ours(content).startswith(content)


def test_7_trailing_blank_lines_are_lost():
    content = b"127.0.0.1\tlocalhost\n# end of my lines\n\n\n\n"
    assert not hostmanager(content, FRY).startswith(content)

    assert ours(content).startswith(content)


def test_a_file_of_the_real_one_is_adopted_whole():
    content = hostmanager(b"127.0.0.1\tlocalhost\n10.9.9.9\tprinter\n", FRY, ID)
    adopted = ours(content, FRY, identity="7a9e")
    assert b"hostmanager" not in adopted
    assert adopted.startswith(b"127.0.0.1\tlocalhost\n10.9.9.9\tprinter\n\n" + BEGIN.encode())
    assert adopted.count(b"\tfry\n") == adopted.count(b"\tbender\n") == adopted.count(END.encode()) == 1
