# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on machines with packages in the layouts of upstream's, asked on the machines."""

from __future__ import annotations

import pytest
from conftest import FOUR, MADE, agents, daemons, package, process

OURS = {
    "north": ("mesos-master.service", "/usr/sbin/mesos-master"),
    "east": ("mesos-agent.service", "/usr/sbin/mesos-agent"),
    "west": ("mesos-agent.service", "/usr/sbin/mesos-agent"),
}
MASKED = {
    "north": ["mesos-agent", "mesos-slave"],
    "south": ["mesos-agent", "mesos-master", "mesos-slave"],
    "east": ["mesos-master", "mesos-slave"],
    "west": ["mesos-master", "mesos-slave"],
}


def test_every_machine_has_the_package_of_its_source():
    assert package("north", "mesos") == MADE["mesosphere"]["version"]
    assert package("south", "mesos") == MADE["mesosphere"]["version"]
    assert package("east", "aventer-mesos") == MADE["aventer"]["version"]
    assert package("west", "mesos") == MADE["mesosphere"]["version"]
    assert package("east", "aurora-executor") == package("west", "aurora-executor") == MADE["executor"]["version"]


@pytest.mark.parametrize("name", OURS)
def test_our_unit_takes_the_place_of_the_packages(name):
    unit, program = OURS[name]
    shown = FOUR.machine(name).check_output(f"systemctl show --property=FragmentPath,UnitFileState,ExecStart {unit}")
    assert {f"FragmentPath=/etc/systemd/system/{unit}", "UnitFileState=enabled"} <= set(shown.splitlines())
    assert "mesos-init-wrapper" not in shown
    assert daemons(name) == {program: unit}


def test_a_package_that_started_its_daemons_left_none_of_them_running():
    """The wrapper's own trace says that they were started, so that this shows something."""
    for name in ("north", "south", "west"):
        traces = [f"/var/lib/mesos/{kind}-was-started-by-the-wrapper" for kind in ("master", "slave")]
        FOUR.machine(name).check_output(f"ls {' '.join(traces)}")
    assert FOUR.machine("south").run("pgrep -f /usr/sbin/mesos").rc == 1
    for name in MASKED:
        assert FOUR.machine(name).run("pgrep -f mesos-init-wrapper").rc == 1
        assert FOUR.machine(name).check_output("systemctl --failed --plain --no-legend") == ""


@pytest.mark.parametrize(("name", "units"), MASKED.items())
def test_units_that_are_not_for_this_machine_are_masked(name, units):
    show = "systemctl show --property=LoadState,ActiveState --value"
    states = FOUR.machine(name).check_output(f"{show} {' '.join(units)}").split()
    assert states == ["masked", "inactive"] * len(units)


def test_the_packages_own_wrapper_settings_were_not_refused_and_do_not_count():
    assert FOUR.machine("north").file("/etc/mesos-master/quorum").content_string == "1\n"
    assert FOUR.machine("west").file("/etc/mesos-slave/work_dir").content_string == "/var/lib/mesos\n"
    assert FOUR.machine("east").file("/etc/mesos-agent/work_dir").content_string == "/var/lib/mesos\n"
    assert FOUR.get("north", 5050, "/flags")["flags"]["work_dir"] == "/var/lib/mesos/master"
    for name in ("east", "west"):
        assert FOUR.get(name, 5051, "/flags")["flags"]["work_dir"] == "/var/lib/mesos/agent"


def test_the_agents_of_the_inventory_are_registered_and_no_other():
    assert agents() == {"east": True, "west": True}
    assert FOUR.get("south", 8081, "/vars.json")["framework_registered"] == 1


@pytest.mark.parametrize(
    ("name", "launcher", "isolation"),
    [("east", "linux", "cgroups/cpu,cgroups/mem"), ("west", "posix", "posix/cpu,posix/mem")],
)
def test_an_agent_contains_tasks_as_its_machine_can(name, launcher, isolation):
    settings = FOUR.machine(name).file("/etc/default/mesos-agent-cluster").content_string
    assert f'\nMESOS_LAUNCHER="{launcher}"\n' in settings
    assert f'\nMESOS_ISOLATION="{isolation}"\n' in settings
    flags = FOUR.get(name, 5051, "/flags")["flags"]
    assert (flags["launcher"], flags["isolation"]) == (launcher, isolation)


def test_a_directory_is_a_source_that_needs_no_other():
    host = FOUR.machine("west")
    assert host.check_output("grep -rhE '^(deb|Types)' /etc/apt --include=*.list --include=*.sources") == (
        "deb [trusted=yes] file:/var/lib/aurora-cluster/packages ./"
    )
    for name in ("libsvn1", "python3-jinja2"):
        assert host.package(name).is_installed


def test_a_repository_is_described_once_with_its_key():
    host = FOUR.machine("east")
    [file] = host.check_output("grep -rl :8087/repository /etc/apt/sources.list.d").splitlines()
    assert "Signed-By: " in host.file(file).content_string
    host.run_expect([0], "apt-get check")


def test_a_tarballs_zookeeper_runs_and_logs_as_upstreams():
    command = process("north", "zookeeper").command
    assert command[command.index("-cp") + 1] == "/opt/zookeeper/lib/*"
    assert "-Dlogback.configurationFile=/etc/zookeeper/cluster/logback.xml" in command
    assert not FOUR.machine("north").package("libzookeeper-java").is_installed
    said = FOUR.machine("north").check_output("journalctl --unit=zookeeper --output=cat")
    assert "INFO  [main:QuorumPeerConfig] Reading configuration from: /etc/zookeeper/cluster/zoo.cfg\n" in said


def test_a_tarballs_scheduler_is_told_of_its_java():
    scheduler = process("south", "aurora-scheduler")
    assert "/opt/aurora-scheduler/bin/aurora-scheduler" in scheduler.command
    options = "-Xms512m -Xmx512m -Djava.net.preferIPv4Stack=true -Djava.library.path=/usr/lib:/usr/local/lib"
    assert {"JAVA_HOME=/opt/jdk8", f"JAVA_OPTS={options}"} <= set(scheduler.environment)
    assert not FOUR.machine("south").package("aurora-scheduler").is_installed


def test_a_second_run_changes_nothing():
    """With settings of packages' wrappers and unpacked tarballs there."""
    components = ("zookeeper", "mesos_master", "mesos_slave", "aurora_scheduler")
    playbooks = [f"playbooks/{component}.yml" for component in components]
    run = FOUR.play(*playbooks, variables={"mesos_slave_serial": "100%"})
    assert (run.status, run.changed) == (0, dict.fromkeys(MASKED, 0)), run.said
