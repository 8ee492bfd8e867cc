# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one CloudStack client of the collection.

`cs` signs and sends; what it leaves open is done here: paging that loses no machine, waiting when the cloud says so,
trying reads again, several jobs side by side, and errors a person can act upon.
"""

from __future__ import annotations

import socket
import time
import traceback

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import (
    CloudStackError,
    from_answer,
    from_page,
    scrub,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_pages import PAGE_SIZE, collect, payload
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_settings import resolve

try:
    import cs
    import requests
except ImportError:
    cs = None
    CS_IMPORT_ERROR = traceback.format_exc()
else:
    CS_IMPORT_ERROR = None

__all__ = ["CS_IMPORT_ERROR", "CloudStack", "CloudStackError", "Job", "from_options"]

READS = ("list", "get", "query")
READ_RETRIES = 5
THROTTLE_RETRIES = 60
THROTTLE_TIME = 300
# A management server that restarts while jobs run is away for a while; the jobs go on or are there afterwards.
JOB_OUTAGE = 120
INTERNAL = 530


def from_options(options, log=None, seconds=None):
    """A client for what `options` (of a module or plugin), CLOUDSTACK_* variables and cloudstack.ini say.

    `log`, if given, is called with sentences about waiting and trying again. After `seconds`, all waiting ends.
    """
    if CS_IMPORT_ERROR:
        raise CloudStackError(None, missing_required_lib("cs"))
    return CloudStack(resolve(options), log, seconds)


def _innermost(exc):
    """The first cause of `exc`. The outer ones quote the address, and with it key and signature."""
    seen = []
    while exc not in seen:
        seen.append(exc)
        inner = [exc.__cause__, exc.__context__, getattr(exc, "reason", None), *exc.args]
        exc = next((one for one in inner if isinstance(one, BaseException)), exc)
    return exc


class Job:
    """An asynchronous job of the cloud. `resource` is the id of what it works on, where the server told it.

    `label` is what a person calls that.
    """

    def __init__(self, command, jobid, resource=None, result=None):
        self.command = command
        self.jobid = jobid
        self.resource = resource
        self.label = command
        # A dict or a CloudStackError once it is done.
        self.result = result

    @property
    def done(self):
        return self.result is not None


class CloudStack:
    def __init__(self, settings, log=None, seconds=None):
        self.settings = settings
        self.calls = 0
        # Shrinks to what the server allows.
        self._page_size = PAGE_SIZE
        self._log = log or (lambda text: None)
        self._sleep = time.sleep
        self._clock = time.monotonic
        self.deadline = None if seconds is None else self._clock() + seconds
        session = requests.Session()
        # A redirect would carry a signed request to somewhere else, or turn a POST into an empty GET.
        session.max_redirects = 0
        self._cs = cs.CloudStack(
            settings.endpoint,
            settings.key,
            settings.secret,
            timeout=settings.timeout,
            method=settings.method,
            verify=settings.ca_file,
            cert=settings.cert,
            cert_key=settings.cert_key,
            dangerous_no_tls_verify=settings.dangerous_no_tls_verify,
            session=session,
        )

    def call(self, command, **params):
        """What the server answers to `command`, without the wrappers around it."""
        return payload(self._request(command, params))

    def list(self, command, **params):
        """All rows of a listing, over as many pages as it takes."""
        rows, self._page_size = collect(
            command, lambda **page: self._request(command, {**params, **page}), self._page_size, self._log
        )
        self._log(f"{command}: {len(rows)} rows")
        return rows

    def start(self, command, **params):
        """Start an asynchronous command. One that the server carried out at once is a job that is done."""
        answer = self._request(command, params)
        if "jobid" in answer:
            return Job(command, str(answer["jobid"]), answer.get("id"))
        return Job(command, None, answer.get("id"), payload(answer))

    def left(self):
        """The seconds until all waiting ends."""
        return float("inf") if self.deadline is None else max(0.0, self.deadline - self._clock())

    def pause(self, seconds):
        """Sleep, but not past the deadline."""
        self._sleep(min(seconds, self.left()))

    def wait(self, jobs, on_progress=None):
        """Wait until the deadline for all `jobs`; their results in order, each a dict or a CloudStackError.

        `on_progress(waiting, elapsed)` is called after each round with the jobs still waited for and the seconds.
        """
        jobs = list(jobs)
        began = answered = self._clock()
        while True:
            waiting = [job for job in jobs if not job.done]
            pause = self.settings.poll_interval
            for job in waiting:
                try:
                    job.result = self._outcome(job)
                    answered = self._clock()
                except CloudStackError as error:
                    # It is the question that failed; the job, which it says nothing about, may be well.
                    internal = error.code == INTERNAL
                    if not (error.passing or internal or error.retry_after is not None):
                        job.result = error
                        continue
                    if self._clock() - answered > JOB_OUTAGE:
                        self._give_up([job] if internal else waiting, error.text)
                    self._log(str(error))
                    pause = max(pause, error.retry_after or 0)
                    # The others would get no answer either.
                    if not internal:
                        break
            waiting = [job for job in waiting if not job.done]
            elapsed = self._clock() - began
            if on_progress:
                on_progress(waiting, elapsed)
            if waiting and not self.left():
                self._give_up(waiting, f"it still runs after {elapsed:.0f} s")
                waiting = []
            if not waiting:
                return [job.result for job in jobs]
            self.pause(pause)

    def _give_up(self, jobs, text):
        for job in jobs:
            if not job.done:
                remedy = f"Job {job.jobid} goes on in the cloud: run again to see how it ended, or allow more time."
                job.result = CloudStackError(job.command, text, remedy, outcome_unknown=True)

    def _outcome(self, job):
        """The result of `job`, None while it runs."""
        answer = self._request("queryAsyncJobResult", {"jobid": job.jobid})
        status = str(answer.get("jobstatus", "0"))
        if status == "0":
            return None
        result = answer.get("jobresult", {})
        if status == "1" and str(answer.get("jobresultcode", 0)) == "0":
            return payload(result) if isinstance(result, dict) else {"text": result}
        if not isinstance(result, dict):
            result = {"errortext": result}
        result.setdefault("errorcode", answer.get("jobresultcode") or 530)
        if not result.get("errortext"):
            result["errortext"] = f"job {job.jobid} failed and the server gave no reason"
        result["errortext"] = scrub(result["errortext"], self.settings.secrets)
        return from_answer(job.command, 200, {}, result, self.settings, time.time())

    def _request(self, command, params):
        """The answer to one command, tried again where that is safe and promises something."""
        faults = refusals = waited = 0
        while True:
            try:
                return self._once(command, params)
            except CloudStackError as error:
                if error.retry_after is not None:
                    refusals += 1
                    delay = max(error.retry_after, 0.05)
                    # The command was refused unseen, so any command may be repeated.
                    if refusals > THROTTLE_RETRIES or waited + delay > THROTTLE_TIME or delay > self.left():
                        raise
                    waited += delay
                    self._log(f"{command}: the cloud asks to wait {delay:g} s")
                elif error.passing and command.startswith(READS):
                    faults += 1
                    delay = 0.5 * 2 ** (faults - 1)
                    if faults > READ_RETRIES or delay > self.left():
                        raise
                    self._log(f"{error} Trying again in {delay:g} s")
                elif error.passing and error.outcome_unknown:
                    error.remedy = f"The cloud may have carried it out all the same: run again to see. {error.remedy}"
                    raise
                else:
                    raise
            self._sleep(delay)

    def _once(self, command, params):
        self.calls += 1
        try:
            answer = getattr(self._cs, command)(**params)
        except cs.CloudStackException as exc:
            answer = self._read_again(command, exc)
        # No `from`: these exceptions quote the address, and with it key and signature.
        except requests.exceptions.RequestException as exc:
            raise self._network_error(command, exc) from None
        if not isinstance(answer, dict):
            raise from_page(command, 200, {}, self._clean(answer), self.settings)
        if "errorcode" in answer and "errortext" in answer:
            raise self._api_error(command, 200, {}, answer)
        return answer

    def _read_again(self, command, exc):
        """The answer that `cs` could not make sense of: an error, or a document with one key too many."""
        response = exc.response
        if response is None:
            raise CloudStackError(command, self._clean(exc)) from None
        try:
            document = response.json()
        except ValueError:
            document = None
        if not isinstance(document, dict) or not document:
            raise from_page(
                command, response.status_code, response.headers, self._clean(response.text), self.settings
            ) from None
        wrapped = [document.get(f"{command}response".lower()), document.get("errorresponse")]
        answer = next((value for value in [*wrapped, *document.values()] if isinstance(value, dict)), document)
        if response.status_code != 200:
            raise self._api_error(command, response.status_code, response.headers, answer) from None
        return answer

    def _api_error(self, command, status, headers, answer):
        clean = {**answer, "errortext": self._clean(answer.get("errortext") or answer)}
        return from_answer(command, status, headers, clean, self.settings, time.time())

    def _network_error(self, command, exc):
        """`exc` of requests in words: its innermost reason, which names no address."""
        errors, endpoint = requests.exceptions, self.settings.endpoint
        if isinstance(exc, errors.TooManyRedirects):
            target = exc.response.headers.get("Location", "") if exc.response is not None else ""
            target = target.split("?", 1)[0]
            text = f"{endpoint} redirects to {target or 'another address'}"
            return CloudStackError(command, self._clean(text), "If that is the cloud's API, make it the endpoint.")
        if isinstance(exc, errors.Timeout):
            sent = not isinstance(exc, errors.ConnectTimeout)
            text = f"{endpoint} gave no answer within {self.settings.timeout:g} s"
            return CloudStackError(
                command, text, "Raise `timeout` if the cloud is slow.", passing=True, outcome_unknown=sent
            )
        reason = _innermost(exc)
        said = self._clean(getattr(reason, "strerror", None) or reason)
        if isinstance(exc, errors.SSLError):
            remedy = (
                "If the cloud has a CA of its own, give its certificate as `ca_file`; check that the name is right."
            )
            return CloudStackError(command, f"no trusted connection to {endpoint}: {said}", remedy)
        if isinstance(exc, errors.ProxyError):
            remedy = "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY."
            return CloudStackError(command, f"the proxy does not connect to {endpoint}: {said}", remedy, passing=True)
        broken = isinstance(exc, (errors.ConnectionError, errors.ChunkedEncodingError, errors.ContentDecodingError))
        remedy = "Check the endpoint, the network and whether the cloud is up."
        text = f"no connection to {endpoint}: {said}"
        sent = not isinstance(reason, (ConnectionRefusedError, socket.gaierror))
        return CloudStackError(command, text, remedy, passing=broken, outcome_unknown=broken and sent)

    def _clean(self, text):
        return scrub(text, self.settings.secrets)
