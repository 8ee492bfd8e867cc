# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over the wire: a small server says what the test wants it to, on loopback."""

from __future__ import annotations

import http.server
import json
import re
import ssl
import subprocess
import threading
import time
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import (
    CloudStackError,
    Job,
    from_options,
)

KEY, SECRET = "AnApiKeyOfSomebody-_x", "TheSecret/Of+Somebody=="
MACHINES = [{"id": str(number), "name": f"m{number}"} for number in range(25)]


def answer(document, status=200, kind="application/json", **headers):
    body = document if isinstance(document, str) else json.dumps(document)
    return status, {"Content-Type": kind, **headers}, body


def error(code, text, command="listVirtualMachines", status=None, **headers):
    body = {"uuidList": [], "errorcode": code, "cserrorcode": 4350, "errortext": text}
    return answer({f"{command.lower()}response": body}, status or code, **headers)


def pages(params):
    size = int(params["pagesize"])
    first = (int(params["page"]) - 1) * size
    rows = MACHINES[first : first + size]
    return answer({"listvirtualmachinesresponse": {"count": len(MACHINES), "virtualmachine": rows} if rows else {}})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.respond(urlsplit(self.path).query)

    def do_POST(self):
        self.respond(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def respond(self, query):
        params = dict(parse_qsl(query, keep_blank_values=True))
        self.server.requests.append((self.command, params))
        said = self.server.say
        said = said.pop(0) if isinstance(said, list) and len(said) > 1 else said[0] if isinstance(said, list) else said
        said = said(params) if callable(said) else said
        self.close_connection = True
        if said == "hang up":
            return
        status, headers, body = said
        cut = headers.pop("Cut", None)
        self.send_response(status)
        if "Date" in headers:  # instead of the one send_response has put there
            self._headers_buffer = [line for line in self._headers_buffer if not line.startswith(b"Date:")]
        for name, value in {"Content-Length": str(len(body.encode())), "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode()[:cut])

    def log_message(self, *arguments):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that does not trust the certificate hangs up, which is no news."""


@pytest.fixture
def server():
    server = Quiet(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def connect(server, monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def connect(say, scheme="http", **options):
        server.say = say
        endpoint = f"{scheme}://127.0.0.1:{server.server_port}/client/api"
        cloud = from_options({"endpoint": endpoint, "key": KEY, "secret": SECRET, "timeout": 2, **options})
        cloud.logged, cloud.slept = [], []
        cloud._log, cloud._sleep = cloud.logged.append, cloud.slept.append
        return cloud

    return connect


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


# Jobs


def job_answer(**fields):
    return answer({"queryasyncjobresultresponse": {"jobstatus": 0, **fields}})


class Jobs:
    """Answers about jobs: what each comes to, and after how many looks."""

    def __init__(self, **ends):
        self.ends = ends
        self.looks = dict.fromkeys(ends, 0)

    def __call__(self, params):
        name = params["jobid"]
        self.looks[name] += 1
        looks, fields = self.ends[name]
        return job_answer(**fields) if self.looks[name] > looks else job_answer()


def ok(**result):
    return {"jobstatus": 1, "jobresultcode": 0, "jobresult": result}


def test_jobs_are_awaited_side_by_side_in_order(connect):
    jobs = Jobs(a=(3, ok(virtualmachine={"id": "1"})), b=(0, ok(success=True)), c=(1, {"jobstatus": "1"}))
    cloud = connect(jobs)
    seen = []
    results = cloud.wait(
        [Job("deployVirtualMachine", name) for name in "abc"],
        60,
        lambda waiting, elapsed: seen.append([job.jobid for job in waiting]),
    )
    assert results == [{"id": "1"}, {"success": True}, {}]
    assert seen == [["a", "c"], ["a"], ["a"], []]
    assert jobs.looks == {"a": 4, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("end", "text", "code"),
    [
        ({"jobresultcode": 530, "jobresult": {"errorcode": 533, "errortext": "No capacity"}}, "No capacity", 533),
        ({"jobresultcode": 530, "jobresult": "Unable to create"}, "Unable to create", 530),
        ({"jobresultcode": 531}, "gave no reason", 531),
        ({}, "gave no reason", 530),
        ({"jobresult": {"errorcode": 530, "errortext": f"key {KEY}"}}, "key ********", 530),
    ],
)
def test_a_job_that_fails_is_the_error_of_its_command_and_leaves_the_others(connect, end, text, code):
    jobs = Jobs(a=(0, {"jobstatus": 2, **end}), b=(1, ok(success=True)))
    bad, good = connect(jobs).wait([Job("deployVirtualMachine", "a"), Job("startVirtualMachine", "b")], 60)
    assert good == {"success": True}
    assert isinstance(bad, CloudStackError)
    assert bad.command == "deployVirtualMachine"
    assert text in bad.text
    assert bad.code == code


def test_a_job_that_does_not_end_is_given_up_by_its_id(connect):
    cloud = connect(Jobs(a=(10**6, {}), b=(0, ok(success=True))))
    times = iter([0, 0, 1, 1, 2, 7, 7, 8, 9])
    cloud._clock = lambda: next(times)
    late, done = cloud.wait([Job("deployVirtualMachine", "a"), Job("x", "b")], 5)
    assert done == {"success": True}
    assert "still runs after 7 s" in str(late)
    assert "Job a goes on in the cloud" in str(late)
    assert late.outcome_unknown


def test_a_restarted_server_does_not_end_the_waiting(connect):
    end = job_answer(**ok(virtualmachine={"id": "1"}))
    cloud = connect([job_answer(), *["hang up"] * 20, end])
    assert cloud.wait([Job("deployVirtualMachine", "a"), Job("deployVirtualMachine", "b")], 600) == [{"id": "1"}] * 2


def test_a_server_that_is_too_busy_to_tell_has_not_failed_the_job(connect):
    cloud = connect([error(429, "please retry after 1000000 ms"), job_answer(**ok(success=True))])
    assert cloud.wait([Job("deployVirtualMachine", "a")], 600) == [{"success": True}]


def test_a_server_that_stays_away_ends_the_waiting(connect):
    cloud = connect("hang up")
    now = iter(range(0, 10000, 50))
    cloud._clock = lambda: next(now)
    results = cloud.wait([Job("deployVirtualMachine", "a"), Job("deployVirtualMachine", "b")], 6000)
    assert [result.outcome_unknown for result in results] == [True, True]
    assert "no connection" in str(results[0])


def test_a_command_done_at_once_is_a_job_that_is_done(connect, server):
    cloud = connect(answer({"createsecuritygroupresponse": {"securitygroup": {"id": "g"}}}))
    job = cloud.start("createSecurityGroup", name="g")
    assert job.done
    assert cloud.wait([job], 1) == [{"id": "g"}]
    assert len(server.requests) == 1


def test_call_unwraps_the_answer(connect):
    cloud = connect(answer({"registersshkeypairresponse": {"keypair": {"name": "k"}}}))
    assert cloud.call("registerSSHKeyPair", name="k", publickey="x") == {"name": "k"}
