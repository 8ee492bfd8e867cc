# SPDX-License-Identifier: GPL-3.0-or-later
"""What the package installs, and that it runs with what it depends on."""

import configparser
import os
import subprocess

import pytest

LINKS = {
    "usr/sbin/mesos-master": "../libexec/mesos/mesos",
    "usr/sbin/mesos-agent": "../libexec/mesos/mesos",
    "usr/sbin/mesos-slave": "../libexec/mesos/mesos",
    "usr/bin/mesos-log": "../libexec/mesos/mesos",
    "usr/bin/mesos-resolve": "../libexec/mesos/mesos",
    "usr/libexec/mesos/mesos-containerizer": "mesos",
    "usr/libexec/mesos/mesos-io-switchboard": "mesos",
    "usr/lib/mesos/libcrypto.so.1.0.0": "libssl.so.1.0.0",
}


def dpkg_deb(*arguments):
    return subprocess.run(["dpkg-deb", *arguments], check=True, capture_output=True, text=True).stdout


def test_name_and_version(package):
    assert dpkg_deb("--show", package).split() == ["mesos", "1.11.0-1"]
    assert dpkg_deb("--field", package, "Architecture").strip() == "amd64"


def test_every_program_is_there(root):
    assert {name: os.readlink(root / name) for name in LINKS} == LINKS
    for script in ("mesos-executor", "mesos-fetcher"):
        assert os.access(root / "usr/libexec/mesos" / script, os.X_OK)


def test_nothing_is_started_or_enabled(package):
    """No maintainer script at all, and the settings survive an upgrade."""
    members = set(dpkg_deb("--info", package).split()) & {"postinst", "preinst", "prerm", "postrm"}
    assert members == set()
    conffiles = dpkg_deb("--info", package, "conffiles").split()
    assert conffiles == ["/etc/default/mesos-agent", "/etc/default/mesos-master"]


def test_files_belong_to_root_and_nobody_else_may_write(package):
    lines = dpkg_deb("--contents", package).splitlines()
    assert len(lines) > 30
    for line in lines:
        mode, owner = line.split()[:2]
        assert owner == "root/root", line
        assert mode[0] == "l" or mode[8] == mode[5] == "-", line


def test_libraries_are_found_where_they_should_be(root):
    command = ["ldd", root / "usr/libexec/mesos/mesos"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    paths = {line.split()[0]: os.path.normpath(line.split()[2]) for line in output.splitlines() if " => " in line}
    assert paths["libssl.so.1.0.0"] == f"{root}/usr/lib/mesos/libssl.so.1.0.0"
    assert paths["libmesos-1.11.0.so"] == f"{root}/usr/lib/mesos/libmesos-1.11.0.so"
    assert paths["libcurl.so.4"].startswith(("/lib/", "/usr/lib/"))


@pytest.mark.parametrize("daemon", ["mesos-master", "mesos-agent"])
def test_units_read_the_settings_files(root, daemon):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(root / f"usr/lib/systemd/system/{daemon}.service")
    assert unit["Service"]["ExecStart"] == f"/usr/sbin/{daemon}"
    assert unit["Service"]["EnvironmentFile"] == f"-/etc/default/{daemon}"
    assert "MESOS_WORK_DIR=/var/lib/mesos/" in (root / f"etc/default/{daemon}").read_text()


def test_restart_of_the_agent_leaves_executors_alone(root):
    assert "\nKillMode=process\n" in (root / "usr/lib/systemd/system/mesos-agent.service").read_text()
