# SPDX-License-Identifier: GPL-3.0-or-later
"""The build's own steps, and what it does when there is nothing to do or something is missing."""

import re
import struct
import subprocess
import sys

import build
import library
import pytest
from conftest import HERE, PACKAGES


def test_elf_hash_is_the_one_linkers_use():
    # As readelf -V shows it for glibc's oldest x86_64 version.
    assert library.elf_hash(b"GLIBC_2.2.5") == 0x09691A75


def test_version_patch_changes_name_and_hash_and_nothing_else():
    old, new = b"VERSION_1", b"VERSION_2"
    before = b"pad\0\0\0\0\0" + struct.pack("<I", library.elf_hash(old)) + b"\0" + old + b"\0rest"
    after = library.rename_symbol_version(before, old, new)
    assert after == b"pad\0\0\0\0\0" + struct.pack("<I", library.elf_hash(new)) + b"\0" + new + b"\0rest"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "0 names and 0 hashes"),
        (b"VERSION_1\0\0\0", "1 names and 0 hashes"),
        (b"VERSION_1\0\0\0" * 2 + struct.pack("<I", library.elf_hash(b"VERSION_1")), "2 names and 1 hashes"),
    ],
)
def test_version_patch_refuses_a_library_it_does_not_know(data, problem):
    with pytest.raises(library.LibraryError, match=problem):
        library.rename_symbol_version(data, b"VERSION_1", b"VERSION_2")


def test_shim_sources_follow_what_the_library_asks_for():
    symbols = "  U SSL_read@OPENSSL_1.0.0\n  U free@GLIBC_2.2.5\n  U SHA1@OPENSSL_1.0.0\n  U BIO_x@OPENSSL_1.0.2\n"
    script, names = library.shim_sources(library.openssl_symbols(symbols))
    assert script.splitlines() == [
        "OPENSSL_1.0.0 { global: SSL_read; SHA1; local: *; };",
        "OPENSSL_1.0.2 { global: BIO_x; } OPENSSL_1.0.0;",
    ]
    assert names.splitlines() == ["SSL_SHIM(0,SSL_read)", "SSL_SHIM(1,SHA1)", "SSL_SHIM(2,BIO_x)"]


def test_missing_tools_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        build.BuildError, match=r"g\+\+, gcc, .* not found; run: apt-get install binutils dpkg g\+\+ gcc"
    ):
        build.check_tools()


def test_second_build_does_nothing(package):
    before = package.stat()
    again = subprocess.run(
        [sys.executable, HERE.parent / "build.py", PACKAGES], check=True, capture_output=True, text=True
    )
    assert "is current" in again.stdout
    assert package.stat().st_mtime_ns == before.st_mtime_ns


def test_same_sources_give_the_same_bytes(package, tmp_path):
    subprocess.run([sys.executable, HERE.parent / "build.py", tmp_path], check=True, capture_output=True)
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def test_launcher_uses_each_flag_with_the_type_the_library_gives_it(root, tmp_path):
    """A field read as another type is memory read at random; the compiler cannot know, the library's symbols do."""
    program, source = tmp_path / "flagtypes", HERE.parent / "src"
    libraries = root / "usr/lib/mesos"
    exported = ",".join(f"--export-dynamic-symbol={name}" for name in build.EXPORTED)
    linker = f"-Wl,-z,lazy,--disable-new-dtags,--allow-shlib-undefined,-rpath,{libraries},{exported}"
    command = ["g++", "-std=c++17", "-O0", "-fPIC", "-pie", f"-I{source}", HERE / "flagtypes.cpp", "-o", program]
    subprocess.run([*command, f"-L{libraries}", "-l:libmesos-1.11.0.so", linker], check=True)
    types = {"master": {}, "agent": {}, "switchboard": {}}
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        owner, name, kind = line.split(" ", 2)
        types[owner][name] = kind
    users = [
        ("master.cpp", "master"),
        ("agent.cpp", "agent"),
        ("launcher.cpp", "master"),
        ("launcher.cpp", "agent"),
        ("tools.cpp", "switchboard"),
    ]
    spelled = {
        "String": "string",
        "OptionalString": "Option<string>",
        "uint16_t": "unsigned short",
        "Option<flags::PathOrValue>": "Option<flags::SecurePathOrValue>",
    }
    checked = 0
    for unit, owner in users:
        uses = re.findall(r'\.get<([\w:<>]+)>\("(\w+)"\)', (source / unit).read_text())
        uses += [("OptionalString", name) for name in re.findall(r'\.isSet\("(\w+)"\)', (source / unit).read_text())]
        for kind, name in uses:
            assert types[owner][name] == spelled.get(kind, kind), f"{unit}: --{name}"
            checked += 1
    assert checked > 30
