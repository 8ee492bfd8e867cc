# SPDX-License-Identifier: GPL-3.0-or-later
"""Other versions and other kinds of sources on machines that run."""

from __future__ import annotations

from conftest import FOUR, MADE, SOURCES, URL, agents, daemons, package
from scenario import Run

ARCHIVE = {
    "mesos_slave_install_method": "archive",
    "mesos_slave_archive_url": f"{URL}/{MADE['archive']['file']}",
    "mesos_slave_archive_checksum": MADE["archive"]["checksum"],
    "mesos_slave_package_dependencies": ["tree"],
}


def deploy(role: str, limit: str, **variables) -> Run:
    return FOUR.play(f"playbooks/{role}.yml", "-l", limit, variables=variables)


def test_a_package_that_enables_masked_units_can_be_upgraded():
    """It fails when it cannot enable a unit, and starts what it enables."""
    source = {"deb": str(SOURCES / MADE["mesosphere_next"]["file"]), "checksum": MADE["mesosphere_next"]["checksum"]}
    version = MADE["mesosphere_next"]["version"]
    FOUR.machine("north").check_output("rm /var/lib/mesos/slave-was-started-by-the-wrapper")
    run = deploy("mesos_master", "north", mesos_master_package_source=source, mesos_master_package_version=version)
    assert run.status == 0, run.said
    assert package("north", "mesos") == version
    assert FOUR.machine("north").file("/var/lib/mesos/slave-was-started-by-the-wrapper").exists
    assert FOUR.machine("north").run("systemctl is-enabled mesos-slave").stdout.strip() == "masked"
    assert daemons("north") == {"/usr/sbin/mesos-master": "mesos-master.service"}


def test_a_version_that_is_new_in_a_repository_is_found():
    version = MADE["aventer_next"]["version"]
    run = deploy("mesos_slave", "east", mesos_slave_package_version=version)
    assert run.status == 0, run.said
    assert package("east", "aventer-mesos") == version
    assert FOUR.machine("east").run("systemctl is-enabled mesos-master").stdout.strip() == "masked"
    assert daemons("east") == {"/usr/sbin/mesos-agent": "mesos-agent.service"}


def test_an_agent_goes_on_from_a_tarball():
    run = deploy("mesos_slave", "east", **ARCHIVE)
    assert run.status == 0, run.said
    assert daemons("east") == {"/opt/mesos/sbin/mesos-agent": "mesos-agent.service"}
    assert FOUR.machine("east").package("tree").is_installed
    assert agents() == {"east": True, "west": True}
    run = deploy("mesos_slave", "east", **ARCHIVE)
    assert (run.status, run.changed) == (0, {"east": 0}), run.said


def test_an_agent_goes_on_from_programs_that_are_there():
    there = {"mesos_slave_install_method": "none", "mesos_slave_program": "/opt/mesos/sbin/mesos-agent"}
    run = deploy("mesos_slave", "east", **there)
    assert run.status == 0, run.said
    assert daemons("east") == {"/opt/mesos/sbin/mesos-agent": "mesos-agent.service"}
    assert agents() == {"east": True, "west": True}
