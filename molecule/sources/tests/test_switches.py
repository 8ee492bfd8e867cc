# SPDX-License-Identifier: GPL-3.0-or-later
"""Other versions and other kinds of sources on machines that run."""

from __future__ import annotations

import pytest
from conftest import FOUR, MADE, SOURCES, URL, agents, daemons, package, process, wanted


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory) -> None:
    FOUR.machine("north").check_output("rm /var/lib/mesos/slave-was-started-by-the-wrapper")
    made = MADE["mesosphere_next"]
    versions = wanted(
        tmp_path_factory.mktemp("upgraded"),
        north={
            "mesos_master_package_source": {"deb": str(SOURCES / made["file"]), "checksum": made["checksum"]},
            "mesos_master_package_version": made["version"],
        },
        east={"mesos_slave_package_version": MADE["aventer_next"]["version"]},
    )
    playbooks = [f"playbooks/{name}.yml" for name in ("install", "mesos_master", "mesos_slave")]
    run = FOUR.play(*playbooks, "-l", "north:east", "-i", versions)
    assert run.status == 0, run.said


@pytest.mark.usefixtures("upgraded")
def test_a_package_that_enables_masked_units_can_be_upgraded():
    """It fails when it cannot enable a unit, and starts what it enables."""
    assert package("north", "mesos") == MADE["mesosphere_next"]["version"]
    assert FOUR.machine("north").file("/var/lib/mesos/slave-was-started-by-the-wrapper").exists
    assert FOUR.machine("north").run("systemctl is-enabled mesos-slave").stdout.strip() == "masked"
    assert daemons("north") == {"/usr/sbin/mesos-master": "mesos-master.service"}


@pytest.mark.usefixtures("upgraded")
def test_a_version_that_is_new_in_a_repository_is_found():
    assert package("east", "aventer-mesos") == MADE["aventer_next"]["version"]
    assert FOUR.machine("east").run("systemctl is-enabled mesos-master").stdout.strip() == "masked"
    assert daemons("east") == {"/usr/sbin/mesos-agent": "mesos-agent.service"}


@pytest.fixture(scope="module")
def switched(upgraded, tmp_path_factory) -> None:
    mesos, executor = MADE["mesos_archive"], MADE["executor_archive"]
    methods = wanted(
        tmp_path_factory.mktemp("switched"),
        east={
            "mesos_slave_install_method": "archive",
            "mesos_slave_archive_url": f"{URL}/{mesos['file']}",
            "mesos_slave_archive_checksum": mesos["checksum"],
            "mesos_slave_package_dependencies": ["tree"],
            "mesos_slave_executor_install_method": "archive",
            "mesos_slave_executor_archive_url": f"{URL}/{executor['file']}",
            "mesos_slave_executor_archive_checksum": executor["checksum"],
            "mesos_slave_executor_archive_directory": "/opt/aurora",
            "mesos_slave_serial": "100%",
        },
        west={"mesos_slave_install_method": "none", "mesos_slave_program": "/usr/sbin/mesos-slave"},
    )
    run = FOUR.play("playbooks/mesos_slave.yml", "-i", methods)
    assert run.status == 0, run.said


@pytest.mark.usefixtures("switched")
def test_agents_go_on_from_a_tarball_and_from_programs_that_are_there():
    assert daemons("east") == {"/opt/mesos/sbin/mesos-agent": "mesos-agent.service"}
    assert daemons("west") == {"/usr/sbin/mesos-slave": "mesos-agent.service"}
    assert FOUR.machine("east").package("tree").is_installed
    assert agents() == {"east": True, "west": True}


@pytest.mark.usefixtures("switched")
def test_an_executors_tarball_brings_the_observer():
    assert "/opt/aurora/bin/thermos_observer.pex" in process("east", "thermos").command
    assert "/usr/sbin/thermos_observer" in process("west", "thermos").command
