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
    assert first["warnings"] == ["The key pair blue stays: b of others carry it."]
    assert (names(double), names(double, "keypair")) == (["b"], ["blue"])
    assert run(**removal())["changed"] is False

    run(**removal(cluster="green"))
    assert names(double, "keypair") == ["blue"]
    assert run(**removal())["diff"]["after"] == {"key pair blue": "absent"}
    assert names(double, "keypair") == []
