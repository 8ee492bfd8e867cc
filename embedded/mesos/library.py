# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the Python module of the binary release into a shared library for this system."""

from __future__ import annotations

import re
import struct

# The library was built on a system whose libcurl gave its symbols the first version; Debian's has the second.
CURL_VERSIONS = (b"CURL_OPENSSL_3", b"CURL_OPENSSL_4")


class LibraryError(Exception):
    """The library is not what this build was written for."""


def elf_hash(name: bytes) -> int:
    """The hash that .gnu.version_r keeps beside each version name (System V ABI)."""
    value = 0
    for character in name:
        value = (value << 4) + character
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high & 0xFFFFFFFF
    return value


def rename_symbol_version(data: bytes, old: bytes, new: bytes) -> bytes:
    """Asks for the symbols of version old under the name new: the name in .dynstr, its hash in .gnu.version_r."""
    if len(old) != len(new):
        raise LibraryError(f"{old!r} and {new!r} differ in length")
    names = [match.start() for match in re.finditer(re.escape(old + b"\0"), data)]
    hashes = [m.start() for m in re.finditer(re.escape(struct.pack("<I", elf_hash(old))), data) if m.start() % 4 == 0]
    if len(names) != 1 or len(hashes) != 1:
        raise LibraryError(f"{old.decode()}: found {len(names)} names and {len(hashes)} hashes, expected one each")
    patched = bytearray(data)
    patched[names[0] : names[0] + len(new)] = new
    patched[hashes[0] : hashes[0] + 4] = struct.pack("<I", elf_hash(new))
    return bytes(patched)


def openssl_symbols(undefined: str) -> dict[str, list[str]]:
    """OpenSSL version -> functions, from the output of `nm -D --undefined-only`."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"(\w+)@(OPENSSL_[\d.]+)", undefined):
        versions.setdefault(version, []).append(name)
    if not versions:
        raise LibraryError("the library asks for no OpenSSL 1.0 function")
    return versions


def shim_sources(versions: dict[str, list[str]]) -> tuple[str, str]:
    """The linker's version script and the header with the list of functions, for ssl_shim.c."""
    script, previous = "", ""
    for version in sorted(versions):
        exported = "".join(f" {name};" for name in versions[version])
        hidden = "" if previous else " local: *;"
        script += f"{version} {{ global:{exported}{hidden} }}{previous};\n"
        previous = " " + version
    names = [name for version in sorted(versions) for name in versions[version]]
    return script, "".join(f"SSL_SHIM({i},{name})\n" for i, name in enumerate(names))
