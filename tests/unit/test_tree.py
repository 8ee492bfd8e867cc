# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the tree as a whole: what a user installs, what no file may name, playbooks that parse."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLAYBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("playbooks/*.yml"), ROOT / "site.yml"])


def repository_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


# Patterns, so that this file does not itself hold what it looks for.
FORBIDDEN = {
    "a package registry's host": r"(?:\b|\.)(?:pypi|pythonhosted|npmjs|deb\.debian|security\.debian)\.(?:org|com)\b",
    "a path of the checkout it was written in": r"(?<![\w.}/-])/wor[k]/|" + re.escape(f"{ROOT}/"),
    "a version that moves": r"""\b(?:state|version|tag|image)['"]?\s*[:=]\s*["']?latest\b|[a-z]:latest\b""",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what):
    found = []
    for path in repository_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if re.search(FORBIDDEN[what], line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == [], f"{what} in:\n" + "\n".join(found)


def test_playbooks_parse():
    assert len(PLAYBOOKS) > 1
    result = subprocess.run(
        ["ansible-playbook", "--syntax-check", "-i", "inventory/local.yml", *PLAYBOOKS],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_no_playbook_leaves_the_collection(playbook):
    path = ROOT / playbook
    text = path.read_text(encoding="utf-8")
    for up in re.findall(r"(?:\.\./)+", text):
        target = path.parent.joinpath(up).resolve()
        assert target.is_relative_to(ROOT), f"{playbook} names {up}"
    assert re.findall(r"(?:import|include)_(?:playbook|tasks):\s*/\S+", text) == []
    for role in re.findall(r"(?:role|(?:import|include)_role:\s*\n\s*name):\s*\"?([^\s\"]+)", text):
        assert role.startswith("aurora.cluster."), (
            f"{playbook} names the role {role}, which an installed collection lacks"
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> set[str]:
    out = tmp_path_factory.mktemp("build")
    result = subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(out)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    (built,) = out.glob("aurora-cluster-*.tar.gz")
    with tarfile.open(built) as tar:
        return {member.name for member in tar.getmembers() if member.isfile()}


def test_archive_holds_what_a_user_needs(archive):
    wanted = {"README.md", "LICENSE", "CHANGELOG.rst", "meta/runtime.yml", "site.yml"}
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("roles/", "plugins/", "playbooks/", "inventory/", "examples/")):
            wanted.add(name)
    assert wanted - archive == set()


def test_archive_holds_nothing_else(archive):
    tracked = {path.relative_to(ROOT).as_posix() for path in repository_files()}
    stray = archive - tracked - {"MANIFEST.json", "FILES.json"}
    assert stray == set(), "files that are not the repository's"
    unneeded = [
        name for name in archive if name.startswith((".", "tests/", "molecule/", "tools/")) or "/tests/" in name
    ]
    assert unneeded == [], "add these to build_ignore in galaxy.yml"
