# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources and settings that cannot work: one message each, which names host and variable, before anything is changed."""

from __future__ import annotations

from conftest import FOUR, MADE, SOURCES, URL, package, refused

WRONG = "sha256:" + "0" * 64


def test_a_wrong_checksum_of_a_file_stops_all():
    source = {"deb": str(SOURCES / MADE["mesosphere"]["file"]), "checksum": WRONG}
    said = refused("preflight.yml", "north", mesos_master_package_source=source)
    assert f"north: mesos_master_package_source.checksum does not match: {source['deb']}" in said


def test_a_wrong_checksum_of_a_file_stops_the_role_too():
    """Where preflight was left out. The file is on the machine already."""
    source = {"deb": str(SOURCES / MADE["mesosphere"]["file"]), "checksum": WRONG}
    said = refused("mesos_master.yml", "north", mesos_master_package_source=source, mesos_master_package_version="9.9")
    assert "north: mesos_master could not install mesos 9.9" in said
    assert (
        f"The checksum of {source['deb']} is {MADE['mesosphere']['checksum'].removeprefix('sha256:')}, not {WRONG}"
        in said
    )
    assert "Set mesos_master_package_source" in said


def test_a_wrong_checksum_of_a_download_stops_the_role():
    source = {"deb": f"{URL}/{MADE['scheduler']['file']}", "checksum": WRONG}
    said = refused(
        "aurora_scheduler.yml", "south", aurora_scheduler_package_source=source, aurora_scheduler_package_version="9.9"
    )
    assert "south: aurora_scheduler could not install aurora-scheduler 9.9" in said
    assert "The checksum for" in said
    assert "did not match" in said
    assert "Set aurora_scheduler_package_source" in said


def test_a_persons_wrapper_settings_are_refused_by_name_and_can_be_ignored():
    setting = "/etc/mesos-master/offer_timeout"
    FOUR.machine("north").check_output(f"echo 5mins >{setting}")
    try:
        said = refused("mesos_master.yml", "north")
        assert f"north: {setting} are settings for the start wrapper" in said
        assert "mesos_master_options" in said
        ignored = {"mesos_master_wrapper_settings": "ignore"}
        run = FOUR.play("playbooks/mesos_master.yml", "-l", "north", variables=ignored)
        assert (run.status, run.changed) == (0, {"north": 0}), run.said
    finally:
        FOUR.machine("north").check_output(f"rm {setting}")


def test_a_java_that_is_not_there_is_refused():
    said = refused("aurora_scheduler.yml", "south", aurora_scheduler_java_home="/opt/nowhere")
    assert "south: aurora_scheduler_java_home is /opt/nowhere, where there is no bin/java" in said


def test_a_package_that_needs_python2_is_named_with_what_it_needs():
    source = {"deb": str(SOURCES / MADE["python2"]["file"]), "checksum": MADE["python2"]["checksum"]}
    wanted = {
        "mesos_slave_executor_package_source": source,
        "mesos_slave_executor_package_version": MADE["python2"]["version"],
    }
    run = FOUR.play("playbooks/mesos_slave.yml", "-l", "east", variables=wanted)
    assert run.status != 0
    assert "east: mesos_slave_executor could not install aurora-executor 0.22.0" in run.words
    assert "(mesos_slave_executor_package_name" in run.words
    assert "Depends: python2.7" in run.words
    assert package("east", "aurora-executor") == MADE["executor"]["version"]


def test_a_wish_for_cgroups_where_there_are_none_is_refused():
    said = refused("preflight.yml", "west", mesos_slave_launcher="linux")
    assert "west: mesos_slave_launcher is linux" in said
    assert "cpu, cpuacct, freezer, memory" in said


def test_a_wish_for_cgroups_where_there_are_none_stops_the_role_too():
    said = refused("mesos_slave.yml", "west", mesos_slave_launcher="linux")
    assert "west: mesos_slave_launcher is linux" in said
    assert "no writable v1 hierarchy for cpu, cpuacct, freezer, memory" in said
