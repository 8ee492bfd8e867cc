# SPDX-License-Identifier: GPL-3.0-or-later
"""Real packages in a directory, the module as Ansible runs it, and apt as the reader of what it writes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).parents[4] / "plugins/modules/deb_index.py"


def run(directory, **options):
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"path": str(directory), **options}}),
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout)


@pytest.fixture
def repository(tmp_path):
    directory = tmp_path / "packages"
    directory.mkdir()
    return directory


def build(directory, name, version="1.0"):
    """Make a package with a description of several lines, in a file that is named as apt names what it downloads."""
    control = directory.parent / name / "DEBIAN/control"
    control.parent.mkdir(parents=True, exist_ok=True)
    control.write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Description: of a test\n Package: not this\n .\n the end\n"
    )
    file = directory / f"{name}_{version.replace(':', '%3a')}_all.deb"
    subprocess.run(["dpkg-deb", "--build", control.parent.parent, file], check=True, capture_output=True)
    return file


def apt(directory, *arguments):
    """Run apt-get with this source only and nothing of the computer's own state."""
    state = directory.parent / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [trusted=yes] file:{directory} ./\n")
    options = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Debug::NoLocking": 1,
        "APT::Sandbox::User": "",
    }
    command = ["apt-get", *(f"-o{name}={value}" for name, value in options.items()), *arguments]
    done = subprocess.run(command, cwd=state, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return state


def test_apt_takes_a_package_by_the_index(repository):
    file = build(repository, "demo", "1:1.0+x")
    (repository / "README").write_text("no package")
    answer = run(repository)
    assert (answer["changed"], answer["packages"]) == (True, [{"name": "demo", "version": "1:1.0+x"}])
    apt(repository, "update")
    state = apt(repository, "download", "demo=1:1.0+x")
    assert (state / file.name).read_bytes() == file.read_bytes()


def test_index_lists_every_package_in_the_order_of_names(repository):
    files = [build(repository, name) for name in ("zeta", "alpha")]
    assert [package["name"] for package in run(repository)["packages"]] == ["alpha", "zeta"]
    index = repository / "Packages"
    assert index.stat().st_mode & 0o777 == 0o644
    stanzas = index.read_text().split("\n\n")
    assert [stanza.splitlines()[0] for stanza in stanzas] == ["Package: alpha", "Package: zeta"]
    for stanza, file in zip(stanzas, sorted(files)):
        data = file.read_bytes()
        assert stanza.splitlines()[-3:] == [
            f"Filename: ./{file.name}",
            f"Size: {len(data)}",
            f"SHA256: {hashlib.sha256(data).hexdigest()}",
        ]


def test_second_run_changes_nothing_until_a_file_does(repository):
    file = build(repository, "demo")
    assert [run(repository)["changed"] for _run in range(2)] == [True, False]
    file.unlink()
    build(repository, "demo", "1.1")
    answer = run(repository)
    assert (answer["changed"], answer["packages"]) == (True, [{"name": "demo", "version": "1.1"}])
    assert "Version: 1.0" not in (repository / "Packages").read_text()


def test_check_mode_says_what_would_change(repository):
    build(repository, "demo")
    assert run(repository, _ansible_check_mode=True)["changed"] is True
    assert not (repository / "Packages").exists()
    run(repository)
    assert run(repository, _ansible_check_mode=True)["changed"] is False


def test_directory_without_packages_gets_an_empty_index(repository):
    assert (run(repository)["packages"], (repository / "Packages").read_text()) == ([], "")
    assert run(repository)["changed"] is False


def test_file_that_is_no_package_is_named(repository):
    (repository / "broken.deb").write_text("<html>404</html>")
    answer = run(repository)
    assert answer["failed"] is True
    assert "broken.deb" in answer["msg"]
    assert not (repository / "Packages").exists()


def test_missing_directory_is_named(repository):
    answer = run(repository / "nowhere")
    assert answer["failed"] is True
    assert answer["msg"] == f"path: {repository}/nowhere is not a directory on this machine."
