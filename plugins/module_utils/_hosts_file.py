# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A named block in a hosts file: pure functions from bytes to bytes. Nothing here touches a file."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Iterable

from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError, as_dicts
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_lines import (
    BLOCK_NAME,
    fold,
    parse_address,
    parse_entry,
    release,
    split_eol,
    split_lines,
    unrelease,
)

BOM = b"\xef\xbb\xbf"
BEGIN = "# BEGIN aurora.cluster hosts: "
END = "# END aurora.cluster hosts: "
# Inside the block: the newline in front of it is ours, the file had none at its end.
NO_NEWLINE = b"# the line above this block had no newline"
MARKER = re.compile(rb"\s*#+\s*(BEGIN|END)\s+aurora\.cluster\s+hosts\b\s*:?\s*(.*)", re.IGNORECASE | re.DOTALL)
HOSTMANAGER_BEGIN = b"## vagrant-hostmanager-start"
HOSTMANAGER_END = b"## vagrant-hostmanager-end"
HOSTMANAGER = "vagrant-hostmanager"
# blockinfile, when it is not told otherwise.
BLOCKINFILE = {
    "writer": "blockinfile",
    "marker": "# {mark} ANSIBLE MANAGED BLOCK",
    "marker_begin": "BEGIN",
    "marker_end": "END",
}

Request = namedtuple("Request", "block entries state format loopback on_conflict adopt")
Plan = namedtuple("Plan", "content entries added removed kept released adopted warnings")
# first and last are indexes of the marker lines.
Region = namedtuple("Region", "name first last")
# A line that begins or ends a block; an end may not tell the name.
Marker = namedtuple("Marker", "index is_begin name")


def check_block_name(name):
    if not BLOCK_NAME.fullmatch(name):
        raise HostsError(f"block: {name!r} is no block name, use up to 63 letters, digits, '.', '_' and '-'")


def to_text(value):
    """Bytes as text that hides nothing."""
    return value.decode("utf-8", "backslashreplace")


def line_numbers(indexes: Iterable[int]) -> str:
    return ", ".join(str(index + 1) for index in indexes)


def quoted(name):
    return repr(name) if name else "a block without id"


def pair_markers(markers: list[Marker], what: str) -> list[Region]:
    """Turn Markers in file order into Regions, or raise HostsError naming every line that does not fit."""
    regions, problems, seen, opened = [], [], set(), None
    for index, is_begin, name in markers:
        if is_begin:
            if opened:
                problems.append(
                    f"line {index + 1} begins {quoted(name)} before the one begun on line {opened[0] + 1} has ended"
                )
            if name in seen:
                problems.append(f"line {index + 1} begins {quoted(name)} a second time")
            seen.add(name)
            opened = (index, name)
        elif opened and name in (None, opened[1]):
            regions.append(Region(opened[1], opened[0], index))
            opened = None
        else:
            problems.append(f"line {index + 1} ends {name or 'a block'} that was not begun")
    if opened:
        problems.append(f"line {opened[0] + 1} begins {quoted(opened[1])} and nothing ends it")
    if problems:
        raise HostsError(
            f"the markers of {what} are damaged: {'; '.join(problems)}. Nothing was changed: put the markers right by "
            "hand, so that no line of yours is lost"
        )
    return regions


def find_blocks(bodies):
    """The Regions of all blocks of this collection, by name."""
    markers = []
    for index, body in enumerate(bodies):
        match = MARKER.fullmatch(body) if b"#" in body else None
        if not match:
            continue
        is_begin = match.group(1).upper() == b"BEGIN"
        name = match.group(2).decode("ascii", "replace")
        if not BLOCK_NAME.fullmatch(name) or body != ((BEGIN if is_begin else END) + name).encode():
            raise HostsError(
                f"line {index + 1} looks like a marker of this module but is not exactly one: {to_text(body)!r}. "
                "Nothing was changed: put it right or remove it by hand"
            )
        markers.append(Marker(index, is_begin, name))
    return {region.name: region for region in pair_markers(markers, "aurora.cluster blocks")}


def hostmanager_markers(bodies: list[bytes]) -> list[Marker]:
    markers = []
    for index, body in enumerate(bodies):
        text = body.rstrip()
        if text == HOSTMANAGER_END:
            markers.append(Marker(index, False, None))
        elif text == HOSTMANAGER_BEGIN or text.startswith(HOSTMANAGER_BEGIN + b" id:"):
            markers.append(Marker(index, True, to_text(text.partition(b" id:")[2].strip())))
    return markers


def blockinfile_lines(wanted: dict) -> tuple[str, bytes, bytes]:
    """(what to call them, first line, last line) of the blocks an item of adopt means, or raise HostsError."""
    marker = wanted["marker"]
    begin, end = (marker.replace("{mark}", wanted[side]) for side in ("marker_begin", "marker_end"))
    if begin == end:
        raise HostsError(f"adopt: the marker {marker!r} must contain {{mark}}")
    return f"blockinfile ({begin}, {end})", begin.encode(), end.encode()


def foreign_markers(bodies: list[bytes], adopt: list[dict]) -> dict[str, list[Marker]]:
    """The Markers of other programs, by what to call them: those that are known, and those the request adopts."""
    found = {HOSTMANAGER: hostmanager_markers(bodies)}
    for wanted in [BLOCKINFILE, *adopt]:
        if wanted["writer"] == "blockinfile":
            what, begin, end = blockinfile_lines(wanted)
            found[what] = [
                Marker(index, body == begin, to_text(begin) if body == begin else None)
                for index, body in enumerate(bodies)
                if body in (begin, end)
            ]
    return found


def find_adopted(foreign: dict[str, list[Marker]], adopt: list[dict]) -> list[Region]:
    """The Regions other programs left and the request takes over."""
    regions = []
    for wanted in adopt:
        hostmanager = wanted["writer"] == "vagrant_hostmanager"
        what = HOSTMANAGER if hostmanager else blockinfile_lines(wanted)[0]
        name = wanted.get("id") or ""
        found = pair_markers(foreign[what], what)
        regions.extend(region for region in found if not hostmanager or name in (region.name, "any"))
    return sorted(set(regions), key=lambda region: region.first)


def check_nesting(blocks: dict[str, Region], adopted: list[Region], foreign: dict[str, list[Marker]]) -> None:
    """Refuse regions that overlap or have a foreign block in, around or across them: a part would go with the other."""
    regions = sorted([*blocks.values(), *adopted], key=lambda region: region.first)
    for outer, inner in zip(regions, regions[1:]):
        if inner.first <= outer.last:
            raise HostsError(
                f"the blocks on lines {outer.first + 1}-{outer.last + 1} and {inner.first + 1}-{inner.last + 1} are "
                "nested. Nothing was changed: separate them by hand"
            )
    for region in regions:
        for what, markers in foreign.items():
            marks = [marker for marker in markers if region.first < marker.index < region.last]
            before = [marker for marker in markers if marker.index < region.first][-1:]
            after = [marker for marker in markers if marker.index > region.last][:1]
            if before and after and before[0].is_begin and not after[0].is_begin:
                marks = [*before, *after]
            if marks:
                raise HostsError(
                    f"the block on lines {region.first + 1}-{region.last + 1} and one of {what} with a marker on "
                    f"line {line_numbers(mark.index for mark in marks)} are nested. Nothing was changed: separate them "
                    "by hand"
                )


def render_entries(request):
    """The lines of the entries, each with the (address, name) pairs it stands for."""
    lines = {}
    for address, names in request.entries:
        pairs = [(address, name) for name in names]
        if request.format == "line_per_name":
            lines.update((f"{address}\t{pair[1]}".encode(), [pair]) for pair in pairs)
        else:
            lines[f"{address}\t{' '.join(names)}".encode()] = pairs
    return lines


def block_pairs(
    bodies: list[bytes], region: Region, known: dict[bytes, list[tuple[str, str]]]
) -> tuple[list[tuple[str, str]], list[int]]:
    """Return ([(address, name)], [index of a line that holds anything but an entry])."""
    pairs, strange = [], []
    for index in range(region.first + 1, region.last):
        body = bodies[index]
        if body in known:
            pairs.extend(known[body])
            continue
        entry = parse_entry(body)
        address = entry and parse_address(entry[0])
        if address:
            pairs.extend((str(address), to_text(name)) for name in entry[1])
        if body.strip() and body != NO_NEWLINE and (not address or b"#" in body):
            strange.append(index)
    return pairs, strange


def render_block(block, entries, eol, no_newline):
    notes = [NO_NEWLINE] if no_newline else []
    lines = [(BEGIN + block).encode(), *notes, *entries, (END + block).encode()]
    return b"".join(line + eol for line in lines)


class Outside:
    """The lines outside the block: which of our names stand there, and what is done about it."""

    def __init__(self, request, blocks):
        self.request = request
        self.ours = {}
        for address, names in request.entries:
            for name in names:
                self.ours.setdefault(name.lower(), set()).add(address)
        self.blocks = [region for region in blocks.values() if region.name != request.block]
        self.released, self.warnings, self.problems = [], [], []

    def rewrite(self, index, line):
        """Return the line as it has to be: names of ours released earlier restored, those to release now released."""
        body, eol = split_eol(line)
        original, released = unrelease(body)
        was_ours = released.pop(self.request.block, None) is not None
        entry = parse_entry(original)
        hits = [name for name in entry[1] if fold(name) in self.ours] if entry else []
        address = parse_address(entry[0]) if hits else None
        hits = [name for name in hits if address and str(address) not in self.ours[fold(name)]]
        if hits and self._takes(index, address, hits, release(original, released)):
            released[self.request.block] = list(dict.fromkeys(hits))
            names = [to_text(name) for name in released[self.request.block]]
            self.released.append({"line": index + 1, "address": str(address), "names": names})
        elif not was_ours:
            return line
        return release(original, released) + eol

    def _takes(self, index, address, hits, shown):
        """Whether hits are to be taken off the line; shown is the line without our own doing."""
        policy, remedy = self.request.on_conflict, ""
        other = next((region.name for region in self.blocks if region.first < index < region.last), None)
        if address.is_loopback and not other:
            if self.request.loopback == "release":
                return True
            policy, remedy = "warn", "; loopback=release takes it off there"
        elif policy == "replace" and not other:
            return True
        active = parse_entry(shown)
        standing = {fold(name) for name in active[1]} if active else set()
        names = [name for name in dict.fromkeys(map(fold, hits)) if name in standing]
        if names:
            place = f"line {index + 1} gives {', '.join(names)} the address {address}"
            if other:
                place += f" in the block {other!r}"
            if policy == "warn":
                self.warnings.append(place + ", and the resolver takes whichever line comes first" + remedy)
            else:
                self.problems.append(place)
        return False

    def raise_problems(self):
        if self.problems:
            remedy = "remove them there, or set on_conflict to warn or replace"
            if self.request.on_conflict == "replace":
                remedy = "replace does not reach into another block; remove the names from one of the two"
            raise HostsError(
                f"names of the block {self.request.block!r} stand outside it with another address: "
                f"{'; '.join(self.problems)}. Nothing was changed: {remedy}"
            )


def make_plan(content, request):
    """Return the Plan that brings content (bytes of a hosts file) to what request asks for."""
    bom = BOM if content.startswith(BOM) else b""
    lines = split_lines(content.replace(BOM, b"", 1) if bom else content)
    bodies = [split_eol(line)[0] for line in lines]
    blocks = find_blocks(bodies)
    foreign = foreign_markers(bodies, request.adopt)
    adopted = find_adopted(foreign, request.adopt)
    check_nesting(blocks, adopted, foreign)

    outside = Outside(request, blocks)
    own = blocks.get(request.block)
    place = own or (adopted[0] if adopted else None)
    removed_at = {index for region in adopted for index in range(region.first, region.last + 1)}
    if own:
        removed_at.update(range(own.first, own.last + 1))
    start = place.first if place else len(lines)
    before, after = (
        [outside.rewrite(index, lines[index]) for index in part if index not in removed_at]
        for part in (range(start), range(start, len(lines)))
    )
    outside.raise_problems()

    had, warnings = [], outside.warnings
    entries = render_entries(request)
    for region in [*([own] if own else []), *adopted]:
        pairs, strange = block_pairs(bodies, region, entries)
        had.extend(pairs)
        if strange:
            what = "the block" if region is own else "an adopted block"
            warnings.append(f"line {line_numbers(strange)} inside {what} was no plain entry and is gone")

    owned_eol = b""
    if own and bodies[own.first + 1] == NO_NEWLINE:
        owned_eol = split_eol(lines[own.first])[1]
    if owned_eol and before and before[-1].endswith(owned_eol) and before[-1] != owned_eol:
        before[-1] = before[-1][: -len(owned_eol)]
    else:
        owned_eol = b""

    if request.state == "present":
        text = b"".join(before + after)
        crlf = text.count(b"\r\n")
        eol = b"\r\n" if crlf * 2 > text.count(b"\n") else b"\n"
        no_newline = bool(before) and not before[-1].endswith(b"\n")
        block = (eol if no_newline else b"") + render_block(request.block, entries, eol, no_newline)
    else:
        block = owned_eol if after else b""
        heir = next((region for region in blocks.values() if own and region.first == own.last + 1), None)
        if owned_eol and heir and lines[heir.first].endswith(owned_eol):
            after.insert(1, NO_NEWLINE + owned_eol)
    wanted = [(address, name) for address, names in request.entries for name in names]
    return Plan(
        content=bom + b"".join(before) + block + b"".join(after),
        entries=as_dicts(wanted),
        added=as_dicts(_minus(wanted, had)),
        removed=as_dicts(_minus(had, wanted)),
        kept=as_dicts(_minus(wanted, _minus(wanted, had))),
        released=outside.released,
        adopted=[{"first_line": region.first + 1, "last_line": region.last + 1} for region in adopted],
        warnings=warnings,
    )


def _minus(pairs, others):
    others = {(address, name.lower()) for address, name in others}
    return [pair for pair in dict.fromkeys(pairs) if (pair[0], pair[1].lower()) not in others]
