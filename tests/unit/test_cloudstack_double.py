# SPDX-License-Identifier: GPL-3.0-or-later
"""The double itself: it has to refuse what a cloud refuses, or the tests against it show little."""

from __future__ import annotations

import datetime
import urllib.error
import urllib.parse
import urllib.request

import pytest
from doubles.cloudstack import Double
from doubles.cloudstack.signature import sign


def in_minutes(minutes):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")


def ask(double, method, command, user=("alice-key", "alice-secret"), **params):
    """The status of the answer to a request that is signed here."""
    key, secret = user
    params = {"apikey": key, "command": command, "response": "json", **params}
    query = urllib.parse.urlencode({**params, "signature": sign(params, secret)})
    address = double.endpoint if method == "POST" else f"{double.endpoint}?{query}"
    request = urllib.request.Request(address, data=query.encode() if method == "POST" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("key", "secret", "params", "signature"),
    [
        # The example of CloudStack's own documentation for developers, and one of the tests of `cs`.
        (
            "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg",
            "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ",
            {"command": "listUsers"},
            "TTpdDq/7j/J58XCRHomKoQXEQds=",
        ),
        ("foo", "bar", {"command": "listVirtualMachines", "listall": "true"}, "B0d6hBsZTcFVCiioSxzwKA9Pke8="),
    ],
)
def test_signatures_are_those_that_others_computed(key, secret, params, signature):
    assert sign({"apikey": key, "response": "json", **params}, secret) == signature


@pytest.mark.parametrize(("minutes", "status"), [(10, 200), (60, 200), (-1, 401)])
def test_a_request_is_good_until_it_expires(minutes, status):
    with Double() as double:
        assert ask(double, "GET", "listZones", signatureversion="3", expires=in_minutes(minutes)) == status


@pytest.mark.parametrize("user", [("nobody", "alice-secret"), ("alice-key", "another")])
def test_a_wrong_key_or_secret_is_refused(user):
    with Double() as double:
        assert ask(double, "POST", "listZones", user) == 401


def test_a_hardened_cloud_wants_posts_and_short_lives():
    lives = {"signatureversion": "3", "expires": in_minutes(10)}
    with Double(hardened=True) as double:
        wish = {"name": "web", "description": ""}
        assert ask(double, "GET", "listZones", **lives) == 200
        assert ask(double, "GET", "createSecurityGroup", **wish, **lives) == 405
        assert ask(double, "POST", "createSecurityGroup", **wish, **lives) == 200
        assert ask(double, "POST", "listZones", signatureversion="3", expires=in_minutes(20)) == 401
        assert ask(double, "POST", "listZones") == 401
    with Double() as double:
        assert ask(double, "GET", "createSecurityGroup", **wish, **lives) == 200
        assert ask(double, "GET", "listZones") == 200
