# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: good for one cloud, one account and one question, and without secrets."""

from __future__ import annotations

import pytest
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleParserError
from ansible_collections.aurora.cluster.plugins.module_utils import _cloudstack


def cached(tmp_path, **options):
    return {
        "text": f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path}/cache",
        **options,
    }


def calls(double):
    return double.cloud.calls["listVirtualMachines"]


def test_the_cache_spares_the_cloud_until_it_is_flushed(double, read, tmp_path):
    double.add_machine("a")
    first = read(**cached(tmp_path))
    asked = calls(double)
    double.cloud.rows["machine"].clear()
    again = read(**cached(tmp_path))
    assert again.names == first.names == ["a"]
    assert again.vars("a") == first.vars("a")
    assert calls(double) == asked
    double.add_machine("b")
    # This is how --flush-cache arrives.
    assert read(cache=False, **cached(tmp_path)).names == ["b"]
    assert read(**cached(tmp_path)).names == ["b"]
    assert calls(double) == asked + 2


def test_another_account_or_question_has_another_entry(double, read, tmp_path, monkeypatch):
    double.add_machine("hers")
    double.add_machine("his", account="bob", zone="advanced")
    assert read(**cached(tmp_path)).names == ["hers"]
    for name, value in double.environment("bob").items():
        monkeypatch.setenv(name, value)
    assert read(**cached(tmp_path)).names == ["his"]
    assert read(**cached(tmp_path, zones=["basic"])).names == []
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_another_endpoint_has_another_entry(double, read, tmp_path, monkeypatch):
    monkeypatch.setattr(_cloudstack, "READ_RETRIES", 0)
    double.add_machine("m")
    read(**cached(tmp_path))
    with pytest.raises(AnsibleParserError, match="no connection"):
        read(**cached(tmp_path, endpoint="http://127.0.0.1:9/client/api", timeout=1))


def test_a_cache_that_holds_something_else_is_not_believed(double, read, tmp_path):
    double.add_machine("m")
    read(**cached(tmp_path))
    for broken in ("[]", '{"machines": 5}', "not json"):
        [file] = (tmp_path / "cache").iterdir()
        file.write_text(broken)
        assert read(**cached(tmp_path)).names == ["m"]


def test_no_secret_reaches_the_cache(double, read, tmp_path):
    double.add_machine("m", password="machine-password", userdata="dXNlcmRhdGE=")
    read(**cached(tmp_path))
    [file] = (tmp_path / "cache").iterdir()
    text = file.read_text() + file.name
    assert "m" in read(**cached(tmp_path)).names
    assert double.machine("m")["id"] in text
    for secret in ("machine-password", "dXNlcmRhdGE=", "alice-key", "alice-secret"):
        assert secret not in text


def test_the_cache_needs_no_cloud(double, read, tmp_path):
    double.add_machine("m")
    read(**cached(tmp_path))
    double.server.answers = "retired"
    assert read(**cached(tmp_path)).names == ["m"]


def test_values_from_the_cache_are_no_templates(double, read, tmp_path):
    double.add_machine("m", displayname="{{ 1 + 1 }}")
    for _time in range(2):
        seen = read(cache=True, **cached(tmp_path))
        assert seen.vars("m")["cloudstack_displayname"] == "{{ 1 + 1 }}"
        assert not TrustedAsTemplate.is_tagged_on(seen.vars("m")["cloudstack_displayname"])
