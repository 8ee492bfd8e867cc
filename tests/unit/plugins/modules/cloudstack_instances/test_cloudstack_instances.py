# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a double of the cloud: growing, shrinking, repairing, refusing."""

from __future__ import annotations

import base64
import threading

from doubles.cloudstack import Fault
from doubles.cloudstack.wishes import machine, names, tags, wish, writes


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

    told = run(check_mode=True, **wish("a", "b", "c"))
    second = run(**wish("a", "b", "c"))
    assert (second["failed"], second["deployed"], second["destroyed"]) == (False, ["b"], ["b"])
    assert {key: told[key] for key in ("deployed", "destroyed", "diff")} == {
        key: second[key] for key in ("deployed", "destroyed", "diff")
    }
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


def test_user_data_is_neither_told_nor_logged(run, double, logged):
    wanted = {**wish(), "machines": [machine("a", user_data="#cloud-config\npassword: TOPSECRET\n")]}
    result = run(**wanted)
    assert result["deployed"] == ["a"]
    assert "TOPSECRET" not in str(result) + str(logged)
    assert "TOPSECRET" in base64.b64decode(double.machine("a")["_userdata"]).decode()


def test_nothing_secret_is_told(run, double):
    result = run(**{**wish("a"), "secret": "a-secret-that-is-wrong"})
    assert result["failed"]
    assert "a-secret-that-is-wrong" not in str(result)
    assert "Check the key" in result["msg"]
