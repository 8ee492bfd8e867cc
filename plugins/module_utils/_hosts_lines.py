# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Single lines of a hosts file, as bytes: reading one, and taking names off one so that they can come back.

A line names are taken off keeps its place and remembers itself whole behind what is left of it:

    127.0.1.1 alpha printer
    127.0.1.1 printer # aurora.cluster released [blue=alpha] from: 127.0.1.1 alpha printer

so it can be restored byte for byte, in any order, by any of the blocks that took a name off it.
"""

from __future__ import annotations

import ipaddress
import re

BLOCK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
RELEASED = re.compile(rb"([^#]*)# aurora\.cluster released \[([^\]]*)\] from: (.*)", re.DOTALL)
# Starting only where blanks start keeps a long run of them from being tried from each of its places.
TOKEN = re.compile(rb"(?<!\s)(\s+)(\S+)")


def split_lines(content):
    """Cut at newlines only, as the resolver does; joining the parts gives content back."""
    lines = [part + b"\n" for part in content.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def split_eol(line):
    body = line.rstrip(b"\r\n")
    length = len(body)
    return body, line[length:]


def fold(name):
    """A name in the form names are compared in."""
    return name.decode("ascii", "replace").lower()


def parse_entry(body):
    """Return (address, [name, ...]) as they stand in the line, or None where it lists nothing."""
    tokens = body.split(b"#", 1)[0].split()
    if len(tokens) < 2:
        return None
    return tokens[0], tokens[1:]


def parse_address(token):
    """Return the ipaddress object of a line's first field, or None."""
    try:
        return ipaddress.ip_address(token.decode("ascii").split("%", 1)[0])
    except ValueError:
        return None


def _without(original, names):
    """What is left of a line when names (folded) are taken off it; empty when no name is left."""
    head = original.split(b"#", 1)[0]
    left = TOKEN.sub(lambda match: b"" if fold(match.group(2)) in names else match.group(0), head)
    return left.rstrip() if parse_entry(left) else b""


def release(original, released):
    """Take the names of released ({block: [name, ...]}) off a line and let the line remember itself."""
    released = {block: names for block, names in released.items() if names}
    if not released:
        return original
    taken = {fold(name) for names in released.values() for name in names}
    listed = b" ".join(block.encode() + b"=" + b",".join(names) for block, names in sorted(released.items()))
    left = _without(original, taken)
    return left + (b" " if left else b"") + b"# aurora.cluster released [" + listed + b"] from: " + original


def unrelease(body: bytes) -> tuple[bytes, dict[str, list[bytes]]]:
    """Return (the line as it was, {block: [name, ...]} taken off it).

    Where somebody has edited what is left of the line since, that edit is kept, and the names and the comment the line
    had are put back behind it.
    """
    match = RELEASED.fullmatch(body)
    if not match:
        return body, {}
    left, listed, original = match.groups()
    released = {}
    for part in listed.split():
        block, equals, names = part.partition(b"=")
        if not equals or not BLOCK_NAME.fullmatch(block.decode("ascii", "replace")):
            return body, {}
        released[block.decode()] = names.split(b",")
    if not released:
        return body, {}
    if release(original, released) == body:
        return original, released
    return _merge(left.rstrip(), original, released), released


def _merge(left: bytes, original: bytes, released: dict[str, list[bytes]]) -> bytes:
    """The line an edited remainder stands for: with the released names again, if it is still the same address."""
    now, then = left.split(), original.split()
    if not now:
        return original
    length = len(original.split(b"#", 1)[0].rstrip())
    comment = original[length:]
    if not then or now[0] != then[0]:
        return left + comment
    present = {fold(token) for token in now[1:]}
    names = {fold(name): name for part in released.values() for name in part}
    return b" ".join([left] + [name for folded, name in names.items() if folded not in present]) + comment
