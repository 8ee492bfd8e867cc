# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a double of the cloud: growing, shrinking, repairing, refusing."""

from __future__ import annotations

import base64
import json
import threading

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.aurora.cluster.plugins.modules import cloudstack_instances
from doubles.cloudstack import Double, Fault

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbMK0yMzSIqQ5Cb5mRZhUX8QC3Kpg3h3rSgTJ2Z8sYk admin@example.org"


def machine(name, **fields):
    return {"name": name, "zone": "basic", "offering": "Small", "template": "Debian 12", **fields}


def wish(*names, **fields):
    return {
        "cluster": "blue",
        "machines": [machine(name, groups=["mesos_slave"]) for name in names],
        "key_pair": {"name": "blue", "public_key": PUBLIC_KEY},
        "security_group": {"name": "blue", "admin_cidrs": ["203.0.113.0/24"], "admin_ports": ["22", "5050"]},
        **fields,
    }


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No settings of whoever runs the tests, and jobs looked at often."""
    monkeypatch.setenv("CLOUDSTACK_POLL_INTERVAL", "0.02")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("ENDPOINT", "KEY", "SECRET", "CONFIG", "REGION"):
        monkeypatch.delenv(f"CLOUDSTACK_{name}", raising=False)


@pytest.fixture
def double():
    with Double() as double:
        yield double


@pytest.fixture
def run(capsys, monkeypatch, double):
    """Run the module; its result, with `failed` false where it did not fail."""
    basic = "ansible.module_utils.basic.AnsibleModule"
    monkeypatch.setattr(f"{basic}._log_to_syslog", lambda *arguments: None)
    # Warnings belong to the process, and this one runs the module again and again.
    warnings: list[str] = []
    monkeypatch.setattr(f"{basic}.warn", lambda module, text: warnings.append(text))

    def run(check_mode=False, user="alice", **options):
        arguments = {**double.options(user), **options, "_ansible_check_mode": check_mode, "_ansible_diff": True}
        warnings.clear()
        with patch_module_args(arguments), pytest.raises(SystemExit):
            cloudstack_instances.main()
        result = json.loads(capsys.readouterr().out)
        return {"failed": False, **result, "warnings": list(warnings)}

    return run


WRITES = ("deploy", "start", "stop", "destroy", "create", "delete", "register", "authorize", "revoke")


def writes(double):
    return [name for name in double.cloud.calls if name.startswith(WRITES)]


def tags(row):
    return {tag["key"]: tag["value"] for tag in row["tags"]}


def names(double):
    return sorted(row["name"] for row in double.cloud.rows["machine"])


def test_a_set_from_nothing_and_again(run, double):
    first = run(**wish("a", "b"))
    assert (first["failed"], first["changed"], first["deployed"]) == (False, True, ["a", "b"])
    row = double.machine("a")
    assert (row["state"], row["keypair"], [group["name"] for group in row["securitygroup"]]) == (
        "Running",
        "blue",
        ["blue"],
    )
    assert tags(row) == {"aurora_cluster": "blue", "aurora_role": "mesos_slave"}
    assert first["machines"][0]["address"] == row["nic"][0]["ipaddress"]

    double.cloud.calls.clear()
    again = run(**wish("a", "b"))
    assert (again["failed"], again["changed"], again["diff"]) == (False, False, {"before": {}, "after": {}})
    assert writes(double) == []
    assert again["machines"] == first["machines"]


def test_check_mode_says_exactly_what_happens_and_changes_nothing(run, double):
    told = run(check_mode=True, **wish("a", "b"))
    assert writes(double) == []
    done = run(**wish("a", "b"))
    assert told["diff"] == done["diff"]
    assert (told["changed"], told["deployed"]) == (True, done["deployed"])
    # What was announced is what there is.
    facts = done["diff"]["after"]["a"]
    row = double.machine("a")
    assert facts["state"] == row["state"]
    assert facts["tags"] == tags(row)
    assert facts["security_groups"] == [group["name"] for group in row["securitygroup"]]
    assert run(check_mode=True, **wish("a", "b"))["changed"] is False


def test_jobs_run_side_by_side(run, double):
    """Each deployment ends only when all six have begun."""
    together = threading.Barrier(6)
    double.cloud.seconds["deployVirtualMachine"] = lambda name: together.wait(timeout=20) * 0
    assert run(**wish(*"abcdef"))["deployed"] == list("abcdef")


def test_grow_and_shrink(run, double):
    run(**wish("a", "b"))
    grown = run(**wish("a", "b", "c"))
    assert (grown["deployed"], names(double)) == (["c"], ["a", "b", "c"])

    kept = run(**wish("a"))
    assert (kept["changed"], names(double)) == (False, ["a", "b", "c"])
    assert any("no longer wanted" in text for text in kept["warnings"])

    shrunk = run(**wish("a", purge=True))
    assert (shrunk["destroyed"], names(double)) == (["b", "c"], ["a"])
    assert shrunk["diff"]["after"] == {"b": "absent", "c": "absent"}


def test_what_is_stopped_is_started(run, double):
    run(**wish("a", "b"))
    double.machine("b")["state"] = "Stopped"
    result = run(**wish("a", "b"))
    assert (result["started"], result["deployed"], double.machine("b")["state"]) == (["b"], [], "Running")


def test_a_machine_on_its_way_is_waited_for(run, double):
    run(**wish("a"))
    row = double.machine("a")
    row["state"] = "Starting"
    seen = []

    def arrive(command, params):
        if command == "listVirtualMachines":
            seen.append(row["state"])
            row["state"] = "Starting" if len(seen) < 3 else "Running"

    double.server.intercept = arrive
    result = run(**wish("a"))
    assert (result["failed"], result["changed"], row["state"]) == (False, False, "Running")
    assert len(seen) == 3

    row["state"] = "Migrating"
    double.server.intercept = None
    stuck = run(job_timeout=0, **wish("a"))
    assert stuck["failed"]
    assert "a: is still Migrating" in stuck["msg"]


def test_a_failed_deployment_leaves_the_others_and_the_second_run_finishes(run, double):
    double.cloud.faults.append(Fault("deployVirtualMachine", name="b", text="No suitable host", code=533))
    first = run(**wish("a", "b", "c"))
    assert first["failed"]
    assert "b: " in first["msg"]
    assert "No suitable host" in first["failed_parts"]["b"]
    assert first["deployed"] == ["a", "c"]
    assert [double.machine(name)["state"] for name in "abc"] == ["Running", "Error", "Running"]
    kept = double.machine("a")["id"]

    second = run(**wish("a", "b", "c"))
    assert (second["failed"], second["deployed"]) == (False, ["b"])
    assert [row["state"] for row in double.cloud.rows["machine"]] == ["Running"] * 3
    assert double.machine("a")["id"] == kept


def test_a_rule_that_is_refused_leaves_the_machines(run, double):
    double.cloud.faults.append(Fault("authorizeSecurityGroupIngress", text="no such rule", code=537))
    first = run(**wish("a"))
    assert first["failed"]
    assert first["deployed"] == ["a"]
    assert "no such rule" in first["failed_parts"]["security group blue"]
    second = run(**wish("a"))
    assert (second["failed"], second["changed"], second["deployed"]) == (False, True, [])
    assert len(double.cloud.by_name("securitygroup", "blue")["ingressrule"]) == 5


def test_a_deployment_that_is_refused_at_once(run, double):
    double.cloud.faults.append(Fault("deployVirtualMachine", name="a", text="limit", code=532, where="call"))
    first = run(**wish("a", "b"))
    assert first["failed_parts"].keys() == {"a"}
    assert "The account's limit is reached" in first["msg"]
    assert names(double) == ["b"]
    assert run(**wish("a", "b"))["deployed"] == ["a"]


def test_a_run_that_died_before_the_tag_is_taken_up_again(run, double):
    double.cloud.faults.append(Fault("createTags", name="a", times=1))
    first = run(**wish("a"))
    assert first["failed"]
    assert tags(double.machine("a")) == {}

    removal = run(state="absent", cluster="blue")
    assert (removal["destroyed"], names(double)) == ([], ["a"])
    assert any("interrupted before it could tag it" in text for text in removal["warnings"])

    second = run(**wish("a"))
    assert (second["failed"], second["deployed"]) == (False, [])
    assert tags(double.machine("a")) == {"aurora_cluster": "blue", "aurora_role": "mesos_slave"}
    assert run(state="absent", cluster="blue")["destroyed"] == ["a"]


def test_tags_follow_the_wish_and_those_of_others_stay(run, double):
    run(**wish("a"))
    double.machine("a")["tags"].append({"key": "owner", "value": "alice"})
    changed = wish()
    changed["machines"] = [machine("a", groups=["zookeeper", "mesos_master"], tags={"rack": 7})]
    result = run(**changed)
    assert result["failed"] is False
    assert tags(double.machine("a")) == {
        "aurora_cluster": "blue",
        "aurora_role": "zookeeper,mesos_master",
        "rack": "7",
        "owner": "alice",
    }
    assert result["diff"]["after"]["a"]["tags"] == tags(double.machine("a"))
    assert run(**changed)["changed"] is False


def test_what_cannot_be_changed_is_told(run, double):
    run(**wish("a"))
    other = wish()
    other["machines"] = [machine("a", groups=["mesos_slave"], offering="Large", template="Debian 13")]
    result = run(**other)
    assert result["changed"] is False
    (warning,) = result["warnings"]
    assert "offering Small (wanted: Large)" in warning
    assert "template Debian 12 (wanted: Debian 13)" in warning


def test_only_what_is_ours_is_removed(run, double):
    double.add_machine("stranger", tags={"aurora_cluster": "green"})
    double.add_machine("untagged")
    run(**wish("a", "b"))
    one = run(state="absent", cluster="blue", machines=[{"name": "a"}, {"name": "stranger"}])
    assert (one["destroyed"], names(double)) == (["a"], ["b", "stranger", "untagged"])
    assert double.cloud.by_name("keypair", "blue")

    told = run(state="absent", check_mode=True, **{**wish(), "machines": None})
    assert (told["changed"], told["destroyed"], names(double)) == (True, ["b"], ["b", "stranger", "untagged"])

    everything = run(state="absent", **{**wish(), "machines": None})
    assert everything["diff"] == told["diff"]
    assert names(double) == ["stranger", "untagged"]
    assert double.cloud.by_name("keypair", "blue") is None
    assert double.cloud.by_name("securitygroup", "blue") is None
    assert run(state="absent", **{**wish(), "machines": None})["changed"] is False


def test_an_account_that_may_not_expunge(run, double):
    double.cloud.may_expunge = False
    run(**wish("a"))
    result = run(state="absent", **{**wish(), "machines": None})
    assert (result["failed"], result["destroyed"]) == (False, ["a"])
    assert double.machine("a")["state"] == "Destroyed"
    warnings = " ".join(result["warnings"])
    assert "may not expunge" in warnings
    assert "security group blue stays" in warnings


def test_everything_a_machine_can_have(run, double):
    double.cloud.add("affinitygroup", {"name": "apart", "type": "host anti-affinity", "account": "alice"})
    wanted = {
        "cluster": "blue",
        "machines": [
            machine(
                "a",
                zone="advanced",
                networks=["storage", "cluster"],
                root_disk=20,
                affinity_groups=["apart"],
                user_data="#cloud-config\npackages: [python3]\n",
            )
        ],
    }
    assert run(**wanted)["failed"] is False
    row = double.machine("a")
    assert [card["networkname"] for card in row["nic"]] == ["storage", "cluster"]
    assert row["nic"][0]["isdefault"]
    assert (row["_rootdisksize"], row["affinitygroup"][0]["name"]) == (20, "apart")
    assert base64.b64decode(row["_userdata"]).decode().startswith("#cloud-config")
    assert run(**wanted)["changed"] is False


def test_in_a_project(run, double):
    wanted = wish("a", project="green")
    refused = run(**wanted)
    assert "peer_cidrs" in refused["msg"]
    wanted["security_group"]["peer_cidrs"] = ["10.200.0.0/24"]
    assert run(**wanted)["deployed"] == ["a"]
    assert double.machine("a")["project"] == "green"
    assert run(**wanted)["changed"] is False
    assert run(**{**wish(), "state": "absent", "machines": None})["destroyed"] == []
    assert run(**{**wanted, "state": "absent", "machines": None})["destroyed"] == ["a"]
    assert "no project 'red'" in run(**wish("a", project="red"))["msg"]


def refused(run, double, text, **options):
    result = run(**options)
    assert result["failed"], result
    assert text in result["msg"]
    assert writes(double) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"offering": "Smal"}, "no offering 'Smal' that this key can see. Near matches: Small"),
        ({"template": "Debian"}, "no template 'Debian' that this key can see. Near matches: Debian 1"),
        ({"zone": "basics"}, "no zone 'basics' that this key can see. Near matches: basic"),
        ({"zone": "advanced", "networks": ["clusters"]}, "no network 'clusters'"),
        ({"zone": None, "template": ""}, "a: zone and template missing"),
        ({"least_memory": 1500}, "has 1024 MB of memory, and 1500 MB are needed. Large enough: Large, Medium"),
        ({"networks": ["cluster"]}, "is a Basic one and has no networks"),
        ({"zone": "advanced"}, "has no security groups"),
        ({"security_groups": ["web"]}, "no security group 'web'"),
        ({"affinity_groups": ["apart"]}, "no affinity group 'apart' that this key can see. There are none."),
        ({"key_pair": "laptop"}, "no key pair 'laptop'"),
        ({"user_data": "x" * 30000}, "and requests sent by POST carry 32768"),
        ({"name": "mesos_master"}, "a machine's name is made of letters"),
        ({"tags": {"aurora_role": "x"}}, "leave them out"),
    ],
)
def test_bad_machines(run, double, fields, text):
    refused(
        run,
        double,
        text,
        **{**wish(), "machines": [machine("a", **fields) if "name" not in fields else {**machine("a"), **fields}]},
    )


def test_all_problems_at_once(run, double):
    machines = [machine("a", offering="Huge"), machine("b", offering="Huge"), machine("c", template="BSD")]
    result = run(**{**wish(), "machines": machines})
    assert "a, b: There is no offering 'Huge'" in result["msg"] or "a, b: there is no offering 'Huge'" in result["msg"]
    assert "c: " in result["msg"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"machines": []}, "none are wanted"),
        ({"cluster": "my cluster"}, "is no name"),
        ({"machines": [machine("a"), machine("a")]}, "is wanted twice"),
        ({"security_group": {"name": "blue"}}, "admin_cidrs is empty"),
        ({"security_group": {"name": "blue", "admin_cidrs": ["203.0.113.7/24"]}}, "is no network"),
        ({"security_group": {"name": "blue", "admin_cidrs": ["::/0"], "admin_ports": ["0"]}}, "'0' is no port"),
        ({"security_group": {"name": "default", "admin_cidrs": ["203.0.113.7"]}}, "this cluster did not make"),
        ({"key_pair": {"name": "blue", "public_key": "not a key"}}, "no ssh public key"),
        ({"key_pair": {"name": "blue"}}, "no public_key to register"),
    ],
)
def test_bad_options(run, double, options, text):
    refused(run, double, text, **{**wish("a"), **options})


def test_a_template_of_an_ambiguous_name(run, double):
    twin = dict(double.cloud.by_name("template", "Debian 12"), id="another-id")
    double.cloud.rows["template"].append(twin)
    refused(run, double, "is ambiguous. Give one of the ids", **wish("a"))
    assert run(**{**wish(), "machines": [machine("a", template="another-id")]})["deployed"] == ["a"]


def test_a_name_that_a_stranger_has(run, double):
    double.add_machine("a")
    refused(run, double, "does not belong to this cluster", **wish("a"))


def test_two_of_ours_with_one_name(run, double):
    for _time in range(2):
        double.add_machine("a", tags={"aurora_cluster": "blue"})
    refused(run, double, "2 machines of this cluster have this name", **wish("a"))


def test_the_key_pair_is_the_users(run, double):
    assert run(**wish("a"))["failed"] is False
    row = double.cloud.by_name("keypair", "blue")
    assert row["_publickey"] == PUBLIC_KEY
    row["fingerprint"] = "00:" * 15 + "00"
    assert "is registered with another public key" in run(**wish("a"))["msg"]
    assert run(state="absent", **{**wish(), "machines": None})["failed"] is False
    assert double.cloud.by_name("keypair", "blue") is row


def test_a_key_that_is_registered_under_another_name(run, double):
    run(**wish("a"))
    double.cloud.by_name("keypair", "blue")["name"] = "laptop"
    assert "is registered as laptop already" in run(**wish("a"))["msg"]
    assert run(**{**wish("a"), "key_pair": {"name": "laptop"}})["failed"] is False


def test_nothing_secret_is_told(run, double):
    result = run(**{**wish("a"), "secret": "a-secret-that-is-wrong"})
    assert result["failed"]
    assert "a-secret-that-is-wrong" not in str(result)
    assert "Check the key" in result["msg"]
