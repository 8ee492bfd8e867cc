# SPDX-License-Identifier: GPL-3.0-or-later
"""Three members of each component: they elect, they roll one at a time, and they stand the loss of the machine that leads."""

from __future__ import annotations

import re
import threading
import time
import urllib.request

import pytest
from conftest import MEMBERS, NAMES, THREE, leader, modes, starts, task

# unit -> its playbook and a setting to change
CHANGES = {
    "zookeeper": ("playbooks/zookeeper.yml", {"zookeeper_sync_limit": 6}),
    "mesos-master": ("playbooks/mesos_master.yml", {"mesos_master_options": {"offer_timeout": "5mins"}}),
    "aurora-scheduler": ("playbooks/aurora_scheduler.yml", {"aurora_scheduler_options": {"max_tasks_per_job": 3000}}),
}
PLAYBOOKS = [playbook for playbook, _variables in CHANGES.values()]


@pytest.mark.parametrize("unit", MEMBERS)
def test_one_member_leads_and_two_follow(unit):
    assert sorted(modes(unit).values()) == ["follower", "follower", "leader"]


def test_every_member_counts_the_whole_group():
    for name in NAMES:
        assert THREE.get(name, 5050, "/flags")["flags"]["quorum"] == "2"
        assert (
            "-native_log_quorum_size=2"
            in THREE.machine(name).file("/etc/default/aurora-scheduler-cluster").content_string
        )
        servers = THREE.machine(name).check_output("grep ^server /etc/zookeeper/cluster/zoo.cfg").splitlines()
        assert sorted(servers) == ["server.1=one:2888:3888", "server.2=two:2888:3888", "server.3=three:2888:3888"]


def test_a_follower_sends_a_person_to_the_leader():
    leading = leader("aurora-scheduler")
    for name in NAMES:
        with urllib.request.urlopen(f"http://{THREE.addresses[name]}:8081/health", timeout=10) as answer:
            assert answer.status == 200
        asked = f"curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}' http://{name}:8081/scheduler"
        expected = "200" if name == leading else f"307 http://{leading}:8081/scheduler"
        assert THREE.machine("one").check_output(asked).strip() == expected


def test_a_limit_does_not_change_the_quorum():
    run = THREE.play(*PLAYBOOKS, "--limit", "two")
    assert (run.status, run.changed) == (0, {"two": 0}), run.said


def test_the_loss_of_the_machine_that_leads_is_stood_and_made_good():
    running, lost = task(), leader("aurora-scheduler")
    rest = [name for name in NAMES if name != lost]
    host = THREE.machine(lost)
    host.check_output("systemctl stop aurora-scheduler mesos-master zookeeper")
    for unit in MEMBERS:
        assert leader(unit) in rest
    deadline = time.monotonic() + 60
    while THREE.get(rest[0], 8081, "/vars.json")["framework_registered"] == 0 and (
        THREE.get(rest[1], 8081, "/vars.json")["framework_registered"] == 0
    ):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    survivor = task()
    assert (survivor["status"], survivor["assignedTask"]["taskId"]) == ("RUNNING", running["assignedTask"]["taskId"])

    before = {unit: starts(unit) for unit in MEMBERS}
    run = THREE.play(*PLAYBOOKS)
    assert run.status == 0, run.said
    assert {name: run.changed[name] for name in NAMES} == {name: 3 * (name == lost) for name in NAMES}
    for unit, was in before.items():
        assert sorted(modes(unit).values()) == ["follower", "follower", "leader"]
        assert {name for name, when in starts(unit).items() if when != was[name]} == {lost}
    assert task()["assignedTask"]["taskId"] == running["assignedTask"]["taskId"]


def test_a_member_that_is_too_busy_to_answer_is_not_taken_for_down():
    """It would be restarted together with those that are down, beside a member that is busy for the same reason."""
    busy = {unit: next(name for name, mode in modes(unit).items() if mode == "follower") for unit in MEMBERS}
    for unit, name in busy.items():
        THREE.machine(name).check_output(f"systemctl kill --signal=STOP {unit}")
    try:
        run = THREE.play("molecule/ha/probes.yml")
    finally:
        for unit, name in busy.items():
            THREE.machine(name).check_output(f"systemctl kill --signal=CONT {unit}")
    assert run.status == 0, run.said
    seen = {line.split()[0]: line for line in re.findall(r"(\w+ [\w ]*_seen_[\w ]*)\.", run.said)}
    for unit, name in busy.items():
        assert f"{unit.replace('-', '_')}_seen_follower" in seen[name].split()
    deadline = time.monotonic() + 60
    while any(sorted(modes(unit).values()) != ["follower", "follower", "leader"] for unit in MEMBERS):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_nothing_is_restarted_where_a_machine_did_not_get_its_packages():
    before = {unit: starts(unit) for unit in MEMBERS}
    version = "{{ '9.9.9' if inventory_hostname == 'two' else '1.11.0-1' }}"
    variables = {"mesos_master_package_version": version, "mesos_master_options": {"offer_timeout": "4mins"}}
    playbooks = ["playbooks/install.yml", "playbooks/mesos_master.yml"]
    run = THREE.play(*playbooks, "--limit", "one,two,three", variables=variables)
    assert run.status != 0
    assert "two: mesos_master could not install mesos 9.9.9 (mesos_master_package_name" in run.words
    assert (
        "two: not everything could be installed; the reason stands above. Nothing was started or restarted."
        in run.words
    )
    assert {unit: starts(unit) for unit in MEMBERS} == before


LOG = "/var/lib/aurora/scheduler/db"


def test_members_without_their_logs_are_not_told_to_trust_their_emptiness():
    """Upstream's scheduler copies the log of a quorum of the others; the embedded one refuses to start without."""
    leading = leader("aurora-scheduler")
    first, second = (name for name in NAMES if name != leading)
    for name in (first, second):
        THREE.machine(name).check_output(f"systemctl stop aurora-scheduler && mv {LOG} {LOG}.away")
    restore = f"systemctl stop aurora-scheduler; rm -df {LOG}; mv {LOG}.away {LOG}"  # -d: only while it is empty
    try:
        limited = THREE.play("playbooks/aurora_scheduler.yml", "--limit", first)
        assert limited.status != 0
        assert f"{first}: it has no replicated log" in limited.words
        refused = THREE.play("playbooks/aurora_scheduler.yml")
        assert refused.status != 0
        assert f"of one, two, three only {leading} has a replicated log" in refused.words
        THREE.machine(second).check_output(restore)
        run = THREE.play("playbooks/aurora_scheduler.yml", variables={"aurora_scheduler_health_timeout": 5})
        assert f"{first}: The Aurora scheduler should answer and know a leader" in run.words
        assert not THREE.machine(first).file(f"{LOG}/CURRENT").exists
    finally:
        for name in (first, second):
            THREE.machine(name).check_output(f"[ ! -e {LOG}.away ] || {{ {restore}; }}")
    run = THREE.play("playbooks/aurora_scheduler.yml")
    assert run.status == 0, run.said
    assert sorted(modes("aurora-scheduler").values()) == ["follower", "follower", "leader"]


class Watch(threading.Thread):
    """Asks the members of a unit all the time, and keeps the fewest that answered at once."""

    def __init__(self, unit: str) -> None:
        super().__init__(daemon=True)
        self.unit, self.fewest, self.asked, self.over = unit, len(NAMES), 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            self.fewest = min(self.fewest, sum(mode != "down" for mode in modes(self.unit).values()))
            self.asked += 1

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_error) -> None:
        self.over.set()
        self.join()


@pytest.mark.parametrize("unit", MEMBERS)
def test_a_changed_setting_rolls_through_the_ensemble_with_the_leader_last(unit):
    playbook, variables = CHANGES[unit]
    leading, before, running = leader(unit), starts(unit), task()
    with Watch(unit) as watch:
        run = THREE.play(playbook, variables=variables)
    assert run.status == 0, run.said
    after = starts(unit)
    assert all(after[name] > before[name] for name in NAMES)
    assert max(NAMES, key=after.get) == leading
    assert (watch.fewest, watch.asked > 10) == (2, True)
    assert leader(unit)
    assert task()["assignedTask"]["taskId"] == running["assignedTask"]["taskId"]
