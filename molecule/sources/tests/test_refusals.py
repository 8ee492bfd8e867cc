# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources and settings that cannot work: one message each, with host and variable, before anything is changed."""

from __future__ import annotations

import re

import pytest
from conftest import FOUR, MADE, SOURCES, URL, package, refused, wanted
from scenario import Run

WRONG = "sha256:" + "0" * 64
MESOS = MADE["mesosphere"]["file"]


def test_a_wrong_checksum_of_a_file_stops_all():
    source = {"deb": str(SOURCES / MESOS), "checksum": WRONG}
    said = refused("preflight.yml", "north", mesos_master_package_source=source)
    assert f"north: mesos_master_package_source.checksum does not match: {source['deb']}" in said


@pytest.fixture(scope="module")
def wrong(tmp_path_factory) -> Run:
    """What is said without preflight where each machine has another source that cannot work."""
    python2 = {"deb": str(SOURCES / MADE["python2"]["file"]), "checksum": MADE["python2"]["checksum"]}
    sources = wanted(
        tmp_path_factory.mktemp("wrong"),
        north={
            "mesos_master_package_source": {"deb": str(SOURCES / MESOS), "checksum": WRONG},
            "mesos_master_package_version": "9.9",
        },
        south={"aurora_scheduler_archive_checksum": WRONG},
        east={
            "mesos_slave_executor_package_source": python2,
            "mesos_slave_executor_package_version": MADE["python2"]["version"],
        },
        west={
            "mesos_slave_package_source": {"deb": f"{URL}/{MESOS}", "checksum": WRONG},
            "mesos_slave_package_version": "9.9",
        },
    )
    run = FOUR.play("playbooks/install.yml", "-i", sources)
    assert run.status != 0
    return run


def reason(run: Run, failed: str, remedy: str) -> str:
    """What stands in a message between what failed and what to do."""
    return re.search(f"{re.escape(failed)}(.*?){re.escape(remedy)}", run.words)[1]


def test_a_wrong_checksum_of_a_file_stops_the_role_too(wrong):
    said = reason(wrong, "north: mesos_master could not install mesos 9.9", "Set mesos_master_package_source")
    right = MADE["mesosphere"]["checksum"].removeprefix("sha256:")
    assert f"The checksum of {SOURCES / MESOS} is {right}, not {WRONG}" in said
    assert wrong.changed["north"] == 0


def test_a_wrong_checksum_of_a_download_stops_the_role(wrong):
    said = reason(wrong, "west: mesos_slave could not install mesos 9.9", "Set mesos_slave_package_source")
    assert f"did not match {WRONG.removeprefix('sha256:')}" in said


def test_a_wrong_checksum_of_a_tarball_stops_the_role(wrong):
    url = f"{URL}/{MADE['scheduler_archive']['file']}"
    said = reason(wrong, f"south: aurora_scheduler could not unpack {url}", "Set aurora_scheduler_archive_url")
    assert f"did not match {WRONG.removeprefix('sha256:')}" in said
    assert wrong.changed["south"] == 0


def test_a_package_that_needs_python2_is_named_with_what_it_needs(wrong):
    assert "east: mesos_slave_executor could not install aurora-executor 0.22.0" in wrong.words
    assert "(mesos_slave_executor_package_name" in wrong.words
    assert "Depends: python2.7" in wrong.words
    assert package("east", "aurora-executor") == MADE["executor"]["version"]


@pytest.fixture
def persons_settings():
    """What a person set for the wrapper of upstream's packages, beside what these brought."""
    settings = {
        "north": {"/etc/mesos-master/offer_timeout": "5mins", "/etc/mesos/zk": "zk://elsewhere:2181/mesos"},
        "west": {"/etc/mesos-slave/work_dir": "/data/mesos"},
    }
    for name, files in settings.items():
        FOUR.machine(name).check_output("mkdir /root/kept && cp -a /etc/mesos* /root/kept")
        for path, content in files.items():
            FOUR.machine(name).check_output(f"echo {content} >{path}")
    yield settings
    for name in settings:
        FOUR.machine(name).check_output("rm -r /etc/mesos* && mv /root/kept/* /etc && rmdir /root/kept")


def test_a_persons_wrapper_settings_are_refused_by_name_and_can_be_ignored(persons_settings):
    said = refused("install.yml", "north:west")
    assert "/etc/mesos-master/offer_timeout: move it to mesos_master_options" in said
    assert "/etc/mesos/zk: set mesos_master_zk to what it holds" in said
    assert "/etc/mesos-slave/work_dir: set mesos_slave_work_dir to what it holds" in said
    for kept in ("/etc/mesos-master/work_dir:", "/etc/mesos-master/quorum:", "set mesos_slave_master"):
        assert kept not in said
    ignore = {"mesos_master_wrapper_settings": "ignore", "mesos_slave_wrapper_settings": "ignore"}
    run = FOUR.play("playbooks/install.yml", "-l", "north:west", variables=ignore)
    assert (run.status, run.changed) == (0, {"north": 0, "west": 0}), run.said


def test_a_java_that_is_not_there_is_refused():
    said = refused("aurora_scheduler.yml", "south", aurora_scheduler_java_home="/opt/nowhere")
    assert "south: aurora_scheduler_java_home is /opt/nowhere, where there is no bin/java" in said


def test_a_wish_for_cgroups_where_there_are_none_is_refused():
    said = refused("preflight.yml", "west", mesos_slave_launcher="linux")
    assert "west: mesos_slave_launcher is linux" in said
    assert "cpu, cpuacct, freezer, memory" in said


def test_a_wish_for_cgroups_where_there_are_none_stops_the_role_too():
    said = refused("mesos_slave.yml", "west", mesos_slave_launcher="linux")
    assert "west: mesos_slave_launcher is linux" in said
    assert "no writable v1 hierarchy for cpu, cpuacct, freezer, memory" in said
