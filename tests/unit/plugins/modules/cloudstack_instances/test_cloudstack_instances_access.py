# SPDX-License-Identifier: GPL-3.0-or-later
"""The key pair and the security group of a cluster, beside those of others."""

from __future__ import annotations

from doubles.cloudstack.wishes import PUBLIC_KEY, names, removal, wish


def test_the_key_pair_is_the_users(run, double):
    assert run(**wish("a"))["failed"] is False
    row = double.cloud.by_name("keypair", "blue")
    assert row["_publickey"] == PUBLIC_KEY
    row["fingerprint"] = "00:" * 15 + "00"
    assert "is registered with another public key" in run(**wish("a"))["msg"]
    assert run(**removal())["failed"] is False
    assert double.cloud.by_name("keypair", "blue") is row


def test_a_key_that_is_registered_under_another_name_is_used_and_stays(run, double):
    run(**wish("a"))
    double.cloud.by_name("keypair", "blue")["name"] = "laptop"
    result = run(**wish("b"))
    assert (result["failed"], result["deployed"], double.machine("b")["keypair"]) == (False, ["b"], "laptop")
    assert run(**wish("b"))["changed"] is False
    assert run(**{**wish("a"), "key_pair": {"name": "laptop"}})["failed"] is False
    assert run(**removal())["failed"] is False
    assert (names(double), names(double, "keypair")) == ([], ["laptop"])


def test_a_key_pair_that_is_asked_for_by_a_name_of_its_own_stays(run, double):
    mine = {"key_pair": {"name": "laptop", "public_key": PUBLIC_KEY}}
    run(**{**wish("a"), **mine})
    assert run(**removal(**mine))["failed"] is False
    assert names(double, "keypair") == ["laptop"]


def test_two_clusters_of_one_user_share_the_key_and_keep_it_while_one_needs_it(run, double):
    run(**wish("a"))
    assert run(**wish("b", cluster="green"))["deployed"] == ["b"]
    assert names(double, "keypair") == ["blue"]

    told = run(check_mode=True, **removal())
    first = run(**removal())
    assert (told["diff"], told["warnings"]) == (first["diff"], first["warnings"])
    assert first["warnings"] == ["The key pair blue stays, in use by b."]
    assert (names(double), names(double, "keypair")) == (["b"], ["blue"])
    assert run(**removal())["changed"] is False

    run(**removal(cluster="green"))
    assert names(double, "keypair") == ["blue"]
    assert run(**removal())["diff"]["after"] == {"key pair blue": "absent"}
    assert names(double, "keypair") == []


def test_a_group_that_stays_is_no_change(run, double):
    double.cloud.may_expunge = False
    run(**wish("a"))
    first = run(**removal())
    assert (first["changed"], first["destroyed"], first["diff"]["after"]) == (
        True,
        ["a"],
        {"a": "absent", "key pair blue": "absent"},
    )
    for check_mode in (True, False):
        again = run(check_mode=check_mode, **removal())
        assert (again["failed"], again["changed"], again["diff"]) == (False, False, {"before": {}, "after": {}})
        [warning] = again["warnings"]
        assert "security group blue stays. Destroyed machines are in it" in warning


def test_an_administrator_who_sees_destroyed_machines_is_told_the_same(run, double):
    run(user="admin", **wish("a"))
    double.machine("a")["state"] = "Destroyed"
    [warning] = run(user="admin", **removal())["warnings"]
    assert "Destroyed machines are in it" in warning


def test_a_group_that_a_machine_of_others_is_in_stays_and_says_whose(run, double):
    run(**wish("a"))
    group = double.cloud.by_name("securitygroup", "blue")
    double.add_machine("web", securitygroup=[{"id": group["id"], "name": "blue"}])
    told = run(check_mode=True, **removal())
    done = run(**removal())
    assert told["diff"] == done["diff"]
    assert told["warnings"] == done["warnings"] == ["The security group blue stays, in use by web."]
    assert run(**removal())["changed"] is False
    assert double.cloud.by_name("securitygroup", "blue") is group


def test_a_group_that_something_unseen_holds_is_told_with_the_clouds_words(run, double):
    run(**wish("a"))
    other = double.cloud.by_name("securitygroup", "default")
    other["ingressrule"].append({"ruleid": "1", "protocol": "tcp", "securitygroupname": "blue", "account": "alice"})
    result = run(**removal())
    assert (result["failed"], "security group blue" in result["diff"]["after"]) == (False, False)
    assert "rules that use it" in result["warnings"][0]
    assert run(**removal())["changed"] is False
