# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs of the role instances_local, on recorded answers of kernels and on real directories."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).parents[3] / "roles/instances_local/files"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_host = load("check_host")
wait_machines = load("wait_machines")

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
ac-dev\t0026AF0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
tun0\t0000400A\t00000000\t0001\t0\t0\t0\t0000C0FF\t0\t0\t0
"""


def network(**change):
    return {"subnet": "10.175.38", "bridge": "ac-dev", "cache": "10.63.255.1", **change}


def test_own_bridge_is_no_overlap():
    assert check_host.route_problems(network(), ROUTES) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bridge": "ac-blue"}, "10.175.38.0/24 of interface ac-dev; set another instances_local_subnet"),
        ({"subnet": "192.0.2"}, "192.0.2.0/24 of interface eth0; set another instances_local_subnet"),
        ({"subnet": "10.65.3"}, "10.64.0.0/10 of interface tun0; set another instances_local_subnet"),
        ({"cache": "10.64.0.9"}, "10.64.0.0/10 of interface tun0; set another instances_local_cache_address"),
    ],
)
def test_an_overlap_names_network_interface_and_variable(change, told):
    (problem,) = check_host.route_problems(network(**change), ROUTES)
    assert told in problem


def host(**change):
    return {"name": "box", "number": 2, "memory": "512M", "cpus": 1.0, **change}


def test_good_machines_have_no_problem():
    machines = [host(), host(name="mesos-slave1", number="3", memory="2G", cpus="0.5"), host(name="a", number=254)]
    assert check_host.machine_problems(machines) == []


@pytest.mark.parametrize(
    ("machines", "told"),
    [
        ([], "the group aurora_cluster has no hosts"),
        ([host(number=None)], "box: instances_local_number is None"),
        ([host(number=1)], "box: instances_local_number is 1"),
        ([host(number=255)], "box: instances_local_number is 255"),
        ([host(), host(name="other")], "other: instances_local_number 2 is also that of box"),
        ([host(memory="lots")], "box: instances_local_memory is 'lots'"),
        ([host(memory=1024)], "box: instances_local_memory is 1024"),
        ([host(cpus=0)], "box: instances_local_cpus is 0"),
        ([host(name="Box_")], "Box_: a machine's name"),
    ],
)
def test_a_bad_machine_is_named_with_its_variable(machines, told):
    (problem,) = check_host.machine_problems(machines)
    assert problem.startswith(told)


def test_all_problems_come_at_once():
    assert len(check_host.machine_problems([host(number=0, memory="x", cpus="y"), host(name="-")])) == 4


def test_existing_machines(tmp_path):
    images = tmp_path / "images"
    (images / "bookworm-1").mkdir(parents=True)
    for name, image in {"kept": "bookworm-1", "other": "trixie-1", "lost": "bookworm-0", "extra": "bookworm-1"}.items():
        (tmp_path / "machines" / name).mkdir(parents=True)
        (tmp_path / "machines" / name / "image").symlink_to(images / image)
    machines = [host(name=name) for name in ("kept", "other", "lost", "new")]
    wish = {"directory": str(tmp_path), "release": "bookworm", "machines": machines}
    problems, extra = check_host.existing_machines(wish)
    assert [problem.split()[0] for problem in problems] == ["lost:", "other"]
    assert extra == ["extra"]


def test_a_user_without_rights_is_told_before_anything_else():
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    nobody = subprocess.run(
        [*drop, "python3", "-"],
        input=(FILES / "check_host.py").read_text().replace("json.load(sys.stdin)", '{"machines": []}'),
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(nobody.stdout)["problems"] == [
        "you are not root; run the playbook as root",
        "the group aurora_cluster has no hosts",
    ]


def prepare(directory, *options):
    return subprocess.run(
        [
            *[sys.executable, FILES / "machine.py", "prepare", "--image", directory / "image-1"],
            *["--directory", directory, *options, "one=127.0.70.2", "two=127.0.70.3"],
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()


def test_prepare_makes_what_is_missing_and_no_more(tmp_path):
    wanted = [
        *[f"{what} of {name}" for name in ("one", "two") for what in ("directory", "image", "host key")],
        "ssh key",
    ]
    assert prepare(tmp_path, "--dry-run") == [*wanted, "file ssh_config"]
    assert list(tmp_path.iterdir()) == []
    assert prepare(tmp_path) == [*wanted, "file known_hosts", "file ssh_config"]
    assert prepare(tmp_path) == []

    before = (tmp_path / "known_hosts").read_text()
    assert before.splitlines()[1].startswith("127.0.70.3,two ssh-ed25519 ")
    assert os.stat(tmp_path / "ssh_key").st_mode & 0o777 == 0o600

    # As after an interruption: the private half alone.
    (tmp_path / "machines/one/ssh_host_ed25519_key.pub").unlink()
    assert prepare(tmp_path) == ["host key of one", "file known_hosts"]
    assert (tmp_path / "known_hosts").read_text().splitlines()[1] == before.splitlines()[1]


def test_ssh_reads_its_configuration_as_meant(tmp_path):
    prepare(tmp_path)
    shown = subprocess.run(
        ["ssh", "-F", tmp_path / "ssh_config", "-G", "two"], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert {
        "hostname 127.0.70.3",
        "user root",
        f"identityfile {tmp_path}/ssh_key",
        f"userknownhostsfile {tmp_path}/known_hosts",
        "stricthostkeychecking true",
    } <= set(shown)


def test_a_machine_that_stays_away_is_shown_with_its_console(tmp_path):
    prepare(tmp_path)
    (tmp_path / "machines/one/output.log").write_text("Failed to mount the disk.\n")
    done = subprocess.run(
        [
            *[sys.executable, FILES / "wait_machines.py", "--directory", tmp_path, "--cache", "127.0.0.1:9"],
            *["--timeout", "1", "one=127.0.70.2"],
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    answer = json.loads(done.stdout)
    assert answer["summary"].startswith("0 of 1 machines ready after ")
    (problem,) = answer["problems"]
    assert problem.startswith("one (127.0.70.2) is not ready: ")
    assert "Failed to mount the disk." in problem
    assert "destroy.yml" in problem


def test_the_remedy_follows_the_reason():
    assert "firewall" in wait_machines.remedy("cannot reach 10.63.255.1:3143", "10.63.255.1:3143")
    assert "package cache" in wait_machines.remedy("cannot reach 10.63.255.1:3143", "10.63.255.1:3143")
    assert "another machine" in wait_machines.remedy("cannot reach 10.70.0.9:22", "10.63.255.1:3143")
