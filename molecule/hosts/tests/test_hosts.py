# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the machines what they resolve, and runs the playbook again as the cluster changes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from scenario import Scenario

THREE = Scenario("mol-hosts", Path(__file__).parents[1] / "inventory.yml")
MACHINES = ["linked", "mounted", "adopting"]
SUBNET = THREE.addresses["linked"].rpartition(".")[0]
ADDRESSES = {name: f"{SUBNET}.{number}" for number, name in enumerate(MACHINES, 2)}
ENTRIES = f"""\
{SUBNET}.2\tlinked.mol.example.org linked
{SUBNET}.3\tmounted.mol.example.org mounted www
{SUBNET}.4\tadopting.mol.example.org adopting
fd00:175::2\tlinked.mol.example.org linked
"""
BLOCK = f"# BEGIN aurora.cluster hosts: mol-hosts\n{ENTRIES}# END aurora.cluster hosts: mol-hosts\n"


@pytest.fixture(scope="module")
def machines():
    return {name: THREE.machine(name) for name in MACHINES}


def text(machine, path="/etc/hosts"):
    """The bytes of a file, one character each."""
    return machine.run("cat %s", path).stdout_bytes.decode("latin-1")


def play(*arguments, playbook="hosts.yml", expected=0):
    run = THREE.play(f"playbooks/{playbook}", *arguments)
    assert run.status == expected, run.said
    return run.said


def play_both(*arguments):
    runs = [THREE.start("playbooks/hosts.yml", "-e", f"hosts_block={name}", *arguments) for name in ("one", "two")]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs


@pytest.mark.parametrize("reader", MACHINES)
@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_resolves_every_name(machines, reader, name):
    for asked in (name, f"{name}.mol.example.org"):
        found = machines[reader].check_output("getent ahostsv4 %s", asked)
        assert {line.split()[0] for line in found.splitlines()} == {ADDRESSES[name]}


def test_every_machine_resolves_aliases_and_ipv6(machines):
    for machine in machines.values():
        assert machine.check_output("getent ahostsv4 www").startswith(ADDRESSES["mounted"])
        assert machine.check_output("getent hosts linked").startswith("fd00:175::2 ")
        assert machine.check_output("getent ahostsv4 localhost").startswith("127.0.0.1 ")


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_reached_by_its_own_name(machines, name):
    """What fails where the own name resolves to loopback: a peer cannot reach what binds to it."""
    assert machines[name].check_output("hostname") == name
    for peer in MACHINES:
        machines[peer].check_output("bash -c %s", f"exec 3<>/dev/tcp/{name}/22")
    assert machines[name].check_output("getent hosts $(hostname)").split()[0] in (ADDRESSES[name], "fd00:175::2")


def test_the_symbolic_link_and_the_mode_stay(machines):
    assert machines["linked"].file("/etc/hosts").linked_to == "/etc/managed/hosts"
    assert machines["linked"].file("/etc/managed/hosts").mode == 0o640
    released = "# aurora.cluster released [mol-hosts=linked.mol.example.org,linked] from: "
    before = text(machines["linked"], "/root/hosts.before")
    own = "127.0.1.1 linked.mol.example.org linked\n"
    assert text(machines["linked"]) == before.replace(own, released + own) + BLOCK


def test_the_mount_stays(machines):
    assert machines["mounted"].mount_point("/etc/hosts").exists
    assert text(machines["mounted"]) == text(machines["mounted"], "/root/hosts")
    assert ENTRIES in text(machines["mounted"])


def test_the_block_of_hostmanager_is_adopted_and_nothing_else_touched(machines):
    before = text(machines["adopting"], "/root/hosts.before")
    above, _old, below = re.split(r"(## vagrant-hostmanager-start.*-end\n)", before, flags=re.DOTALL)
    assert "caf\xe9" in above
    assert "CRLF\r\n\n\n" in above
    assert text(machines["adopting"]) == above + BLOCK + below


@pytest.mark.parametrize("name", MACHINES)
def test_no_litter_is_left(machines, name):
    assert machines[name].check_output("find /etc /etc/managed -maxdepth 1 -name '.hosts*' 2>/dev/null || true") == ""


def test_an_unreachable_machine_is_listed_and_a_removed_one_is_not(machines, tmp_path):
    ghost = tmp_path / "ghost.yml"
    ghost.write_text(yaml.safe_dump({"aurora_cluster": {"hosts": {"ghost": {"ansible_host": f"{SUBNET}.99"}}}}))
    output = play("-i", str(ghost), "-T", "2", expected=4)
    assert re.search(r"ghost *: ok=1 .* unreachable=1", output), output
    for machine in machines.values():
        assert machine.check_output("getent hosts ghost").split()[0] == f"{SUBNET}.99"
    play()
    for machine in machines.values():
        assert machine.run("getent hosts ghost").rc == 2
        assert ENTRIES in text(machine)


def test_each_file_is_written_once_whoever_changes(machines, tmp_path):
    """One machine's new alias is one write on each machine, not one for each pair of them."""
    renamed = tmp_path / "renamed.yml"
    renamed.write_text(yaml.safe_dump({"aurora_cluster": {"hosts": {"mounted": {"hosts_aliases": ["www", "web"]}}}}))
    for arguments in (["-i", str(renamed)], []):
        run = THREE.play("playbooks/hosts.yml", *arguments)
        assert run.status == 0, run.said
        assert {name: run.changed[name] for name in MACHINES} == dict.fromkeys(MACHINES, 1), run.said
        for machine in machines.values():
            assert machine.run("getent ahostsv4 web").rc == (0 if arguments else 2)


def test_a_limit_does_not_shrink_the_list(machines):
    assert "changed=0" in play("--limit", "mounted")
    assert ENTRIES in text(machines["mounted"])


def test_two_runs_at_once_both_end_up_in_the_file(machines):
    before = {name: text(machine) for name, machine in machines.items()}
    play_both()
    for machine in machines.values():
        for name in ("one", "two", "mol-hosts"):
            assert text(machine).count(f"# BEGIN aurora.cluster hosts: {name}\n") == 1
            assert text(machine).count(f"# END aurora.cluster hosts: {name}\n") == 1
        assert text(machine).count(ENTRIES) == 3
    play_both("-e", "hosts_state=absent")
    assert {name: text(machine) for name, machine in machines.items()} == before


def test_absent_gives_the_original_back(machines):
    play(playbook="hosts_absent.yml")
    for name in ("linked", "mounted"):
        assert text(machines[name]) == text(machines[name], "/root/hosts.before")
    assert "aurora.cluster" not in text(machines["adopting"])
    play()
    assert all(ENTRIES in text(machine) for machine in machines.values())


def test_the_controller_gets_the_names_if_asked():
    asked = ["-e", "hosts_manage_controller=true"]
    try:
        play(*asked, playbook="hosts_controller.yml")
        found = subprocess.run(["getent", "hosts", "adopting"], capture_output=True, text=True, check=True).stdout
        assert found.split()[0] == ADDRESSES["adopting"]
        assert "changed=0" in play(*asked, playbook="hosts_controller.yml")
    finally:
        play(*asked, "-e", "hosts_state=absent", playbook="hosts_controller.yml")
    assert "mol-hosts" not in Path("/etc/hosts").read_text()
