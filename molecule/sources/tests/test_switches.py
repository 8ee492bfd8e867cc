# SPDX-License-Identifier: GPL-3.0-or-later
"""Other versions and other kinds of sources on machines that run."""

from __future__ import annotations

from conftest import MADE, SOURCES, URL, agents, daemons, machine, package, play

ARCHIVE = {
    "mesos_slave_install_method": "archive",
    "mesos_slave_archive_url": f"{URL}/{MADE['archive']['file']}",
    "mesos_slave_archive_checksum": MADE["archive"]["checksum"],
    "mesos_slave_package_dependencies": ["tree"],
}


def test_a_package_that_enables_masked_units_can_be_upgraded():
    """It fails when it cannot enable a unit, and starts what it enables."""
    source = {"deb": str(SOURCES / MADE["mesosphere_next"]["file"]), "checksum": MADE["mesosphere_next"]["checksum"]}
    version = MADE["mesosphere_next"]["version"]
    machine("north").check_output("rm /var/lib/mesos/slave-was-started-by-the-wrapper")
    status, _changed, said = play(
        "mesos_master.yml", "north", mesos_master_package_source=source, mesos_master_package_version=version
    )
    assert status == 0, said
    assert package("north", "mesos") == version
    assert machine("north").file("/var/lib/mesos/slave-was-started-by-the-wrapper").exists
    assert machine("north").run("systemctl is-enabled mesos-slave").stdout.strip() == "masked"
    assert daemons("north") == {"/usr/sbin/mesos-master": "mesos-master.service"}


def test_a_version_that_is_new_in_a_repository_is_found():
    version = MADE["aventer_next"]["version"]
    status, _changed, said = play("mesos_slave.yml", "east", mesos_slave_package_version=version)
    assert status == 0, said
    assert package("east", "aventer-mesos") == version
    assert machine("east").run("systemctl is-enabled mesos-master").stdout.strip() == "masked"
    assert daemons("east") == {"/usr/sbin/mesos-agent": "mesos-agent.service"}


def test_an_agent_goes_on_from_a_tarball():
    status, _changed, said = play("mesos_slave.yml", "east", **ARCHIVE)
    assert status == 0, said
    assert daemons("east") == {"/opt/mesos/sbin/mesos-agent": "mesos-agent.service"}
    assert machine("east").package("tree").is_installed
    assert agents() == {"east": True, "west": True}
    status, changed, said = play("mesos_slave.yml", "east", **ARCHIVE)
    assert (status, changed) == (0, {"east": 0}), said


def test_an_agent_goes_on_from_programs_that_are_there():
    there = {"mesos_slave_install_method": "none", "mesos_slave_program": "/opt/mesos/sbin/mesos-agent"}
    status, _changed, said = play("mesos_slave.yml", "east", **there)
    assert status == 0, said
    assert daemons("east") == {"/opt/mesos/sbin/mesos-agent": "mesos-agent.service"}
    assert agents() == {"east": True, "west": True}
