# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over the wire: a small server says what the test wants it to, on loopback."""

from __future__ import annotations

import re
import ssl
import subprocess
import time
from email.utils import formatdate

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import CloudStackError
from doubles.cloudstack.scripted import KEY, SECRET, answer, error

MACHINES = [{"id": str(number), "name": f"m{number}"} for number in range(25)]


def pages(params):
    size = int(params["pagesize"])
    first = (int(params["page"]) - 1) * size
    rows = MACHINES[first : first + size]
    return answer({"listvirtualmachinesresponse": {"count": len(MACHINES), "virtualmachine": rows} if rows else {}})


def failure(function, *arguments, **params):
    """The error of a call, in which no secret may show, neither in itself nor in what Ansible prints along."""
    with pytest.raises(CloudStackError) as caught:
        function(*arguments, **params)
    shown = repr(caught.value) + str(caught.value)
    cause = caught.value.__cause__ or (None if caught.value.__suppress_context__ else caught.value.__context__)
    shown += repr(cause)
    assert KEY not in shown
    assert SECRET not in shown
    assert not re.search("signature['\"]?\\s*[=:]\\s*['\"]?[^*\\s'\"]", shown)
    return caught.value


def test_a_listing_is_signed_posted_and_complete(connect, server):
    cloud = connect(pages)
    cloud._page_size = 10
    assert cloud.list("listVirtualMachines", listall=True) == MACHINES
    assert cloud.calls == len(server.requests) == 6
    method, params = server.requests[0]
    assert method == "POST"
    assert params["apiKey"] == KEY
    assert params["signatureVersion"] == "3"
    assert params["signature"]
    assert params["expires"]
    assert params["listall"] == "true"


def test_get_is_there_for_those_who_want_it(connect, server):
    connect(pages, method="get").list("listVirtualMachines")
    assert server.requests[0][0] == "GET"


def test_each_page_has_an_expiry_of_its_own(connect, server, monkeypatch):
    """A listing longer than ten minutes would be refused otherwise."""
    cloud = connect(lambda params: (time.sleep(1.05), pages(params))[1])
    cloud._page_size = 13
    cloud.list("listVirtualMachines")
    assert len({params["expires"] for _method, params in server.requests}) == 4


def test_429_is_waited_for_as_told_even_for_changes(connect):
    text = "The given user has reached his/her account api limit, please retry after 700 ms."
    done = answer({"startvirtualmachineresponse": {"jobid": "j"}})
    cloud = connect([error(429, text), error(429, text), done])
    assert cloud.start("startVirtualMachine", id="1").jobid == "j"
    assert cloud.slept == [0.7, 0.7]
    assert "asks to wait 0.7 s" in cloud.logged[0]


def test_429_of_a_proxy_is_waited_for_by_its_header(connect):
    busy = answer("<html><title>Slow down</title></html>", 429, "text/html", **{"Retry-After": "3"})
    cloud = connect([busy, pages])
    assert len(cloud.list("listVirtualMachines")) == 25
    assert cloud.slept == [3.0]


def test_429_without_end_is_given_up_with_advice(connect):
    cloud = connect(error(429, "please retry after 100000 ms"))
    message = str(failure(cloud.list, "listVirtualMachines"))
    assert "listVirtualMachines failed: please retry after 100000 ms (429)" in message
    assert "api.throttling.max" in message
    assert sum(cloud.slept) <= 300


@pytest.mark.parametrize(
    "fault",
    [
        "hang up",
        answer("<html><title>502 Bad Gateway</title></html>", 502, "text/html"),
        error(503, "The management server is shutting down"),
        answer({"listvirtualmachinesresponse": {"count": 25}}, Cut=20),
    ],
    ids=["hang up", "proxy", "shutdown", "cut"],
)
def test_a_passing_fault_in_the_middle_of_a_listing_costs_nothing(connect, fault):
    cloud = connect([pages, fault, pages])
    cloud._page_size = 10
    assert cloud.list("listVirtualMachines") == MACHINES
    assert cloud.slept == [0.5]


def test_a_server_killed_in_the_middle_of_a_listing_gives_an_error_and_no_half_list(connect, server):
    cloud = connect([pages, "hang up"])
    cloud._page_size = 10
    message = str(failure(cloud.list, "listVirtualMachines"))
    assert "no connection to http://127.0.0.1" in message
    assert "after 10 rows" in message
    assert cloud.slept == [0.5, 1, 2, 4, 8]


@pytest.mark.parametrize("fault", ["hang up", answer("<html></html>", 502, "text/html")], ids=["hang up", "proxy"])
def test_a_change_is_not_repeated_and_says_that_it_may_have_happened(connect, server, fault):
    error = failure(connect(fault).start, "deployVirtualMachine", name="x")
    assert len(server.requests) == 1
    assert error.outcome_unknown
    assert "may have carried it out" in str(error)


def test_a_change_that_never_left_says_no_such_thing(connect, server):
    cloud = connect(pages)
    server.shutdown()
    server.server_close()
    error = failure(cloud.start, "deployVirtualMachine", name="x")
    assert not error.outcome_unknown
    assert "Connection refused" in str(error)
    assert "may have" not in str(error)


def test_the_address_of_a_get_shows_nowhere(connect, server):
    cloud = connect(pages, method="get")
    server.shutdown()
    server.server_close()
    failure(cloud.list, "listVirtualMachines")


def test_a_slow_answer_is_an_error_that_names_the_time(connect):
    cloud = connect(lambda params: (time.sleep(1.5), pages(params))[1], timeout=1)
    message = str(failure(cloud.call, "createSecurityGroup", name="x"))
    assert "no answer within 1 s" in message
    assert "`timeout`" in message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            error(401, "unable to verify user credentials and/or request signature"),
            ["unable to verify user credentials and/or request signature (401).", "Check the key (from option `key`)"],
        ),
        (
            error(401, "unable to verify user credentials", Date=formatdate(time.time() - 1200)),
            ["This machine's clock is 12", "s ahead of the server's"],
        ),
        (
            error(401, "unable to verify user credentials", Date=formatdate(time.time() + 1200)),
            ["s behind the server's"],
        ),
        (
            answer(
                {
                    "errorresponse": {
                        "errorcode": 403,
                        "cserrorcode": 9999,
                        "errortext": "This API is deprecated. See x",
                    }
                },
                403,
            ),
            ["listVirtualMachines failed: This API is deprecated. See x (403).", "Exoscale closed its CloudStack API"],
        ),
        (answer("<html><head><title>Log in</title>", 200, "text/html"), ["saying 'Log in'", "/client/api"]),
        (answer("<h1>Not Found</h1>", 404, "text/html"), ["status 404", "saying 'Not Found'", "/client/api"]),
        (answer("Forbidden by policy", 403, "text/plain"), ["Forbidden by policy", "HTTPS_PROXY"]),
        (answer("{broken", 200), ["saying '{broken'"]),
        (answer("[1, 2]", 200), ["saying '[1, 2]'"]),
        (answer('{"message": "No such route"}', 404), ["No such route", "Check the endpoint"]),
        (answer({"errorresponse": {"errorcode": 431, "errortext": "Bad thing"}}, 200), ["Bad thing (431)"]),
        (error(432, "command not available"), ["does not offer this command"]),
        (error(531, "not yours"), ["lacks the permission"]),
        (answer("", 302, "text/html", Location="https://elsewhere/login?apiKey=x"), ["redirects to https://elsewhere"]),
    ],
)
def test_errors_are_one_sentence_with_the_servers_text_and_a_remedy(connect, said, words):
    message = str(failure(connect(said).list, "listVirtualMachines"))
    assert message.startswith("CloudStack listVirtualMachines failed: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_server_that_echoes_the_request_does_not_make_it_show(connect):
    def echo(params):
        text = f"{params} {KEY} {SECRET} " + "&".join(f"{name}={value}" for name, value in params.items())
        return answer(f"<html><title>{text}</title></html>", 400, "text/html")

    def echo_json(params):
        return error(431, f"apikey={KEY}&signature={params['signature']}&x=1 {SECRET}")

    for say in (echo, echo_json):
        cloud = connect(say)
        failure(cloud.list, "listVirtualMachines")
        assert KEY not in "".join(cloud.logged)


def test_a_document_with_a_key_too_many_is_understood(connect):
    said = {"deployvirtualmachineresponse": {"id": "5", "jobid": 7}, "cloudstack-version": "4.1.0-SNAPSHOT"}
    job = connect(answer(said)).start("deployVirtualMachine", name="x")
    assert (job.jobid, job.resource) == ("7", "5")


def test_json_under_the_name_of_a_script_is_understood(connect):
    said = answer({"listzonesresponse": {"count": 1, "zone": [{"id": 1}]}}, kind="text/javascript; charset=UTF-8")
    assert connect(said).list("listZones") == [{"id": 1}]


def test_certificates_are_checked_against_the_file_given(connect, server, tmp_path):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=x -addext subjectAltName=IP:127.0.0.1"
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command.split(), *pair], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    cloud = connect(pages, "https")
    message = str(failure(cloud.list, "listVirtualMachines"))
    assert "self-signed certificate" in message
    assert "`ca_file`" in message
    assert cloud.slept == []
    assert len(connect(pages, "https", ca_file=str(tmp_path / "cert.pem")).list("listVirtualMachines")) == 25
    with pytest.warns(match="Unverified HTTPS request"):
        assert len(connect(pages, "https", dangerous_no_tls_verify=True).list("listVirtualMachines")) == 25


def test_call_unwraps_the_answer(connect):
    cloud = connect(answer({"registersshkeypairresponse": {"keypair": {"name": "k"}}}))
    assert cloud.call("registerSSHKeyPair", name="k", publickey="x") == {"name": "k"}
