# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: awaited side by side, until one deadline."""

from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import CloudStackError, Job
from doubles.cloudstack.scripted import KEY, answer, error


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
    bad, good = connect(jobs).wait([Job("deployVirtualMachine", "a"), Job("startVirtualMachine", "b")])
    assert good == {"success": True}
    assert isinstance(bad, CloudStackError)
    assert bad.command == "deployVirtualMachine"
    assert text in bad.text
    assert bad.code == code


def test_a_job_that_does_not_end_is_given_up_by_its_id(connect, timed):
    cloud = timed(connect(Jobs(a=(10**6, {}), b=(0, ok(success=True)))), 5)
    late, done = cloud.wait([Job("deployVirtualMachine", "a"), Job("x", "b")])
    assert done == {"success": True}
    assert "still runs after 5 s" in str(late)
    assert "Job a goes on in the cloud" in str(late)
    assert late.outcome_unknown
    assert cloud.slept == [2, 2, 1]


def test_the_cloud_cannot_make_anybody_wait_past_the_deadline(connect, timed):
    cloud = timed(connect(error(429, "please retry after 250000 ms", "queryAsyncJobResult")), 5)
    [late] = cloud.wait([Job("deployVirtualMachine", "a")])
    assert late.outcome_unknown
    assert sum(cloud.slept) == 5


def test_nor_can_it_before_a_job_has_begun(connect, timed):
    cloud = timed(connect([error(429, "please retry after 2000 ms")] * 3), 5)
    with pytest.raises(CloudStackError, match="2000 ms"):
        cloud.start("deployVirtualMachine")
    assert cloud.slept == [2, 2]


def test_the_deadline_ends_the_repeating_of_reads(connect, timed):
    cloud = timed(connect("hang up"), 5)
    with pytest.raises(CloudStackError, match="no connection"):
        cloud.list("listZones")
    assert cloud.slept == [0.5, 1, 2]


def test_two_waits_share_one_deadline(connect, timed):
    cloud = timed(connect(Jobs(a=(10**6, {}))), 5)
    for _time in range(2):
        cloud.wait([Job("deployVirtualMachine", "a")])
    assert sum(cloud.slept) == 5


def test_an_internal_error_of_the_question_is_none_of_the_job(connect, timed):
    """The server stumbles over one of them for a while; the other one is asked for meanwhile."""
    ends = Jobs(a=(0, ok(virtualmachine={"id": "1"})), b=(2, ok(virtualmachine={"id": "2"})))
    internal = error(530, "Internal error executing command", "queryAsyncJobResult")
    stumbles = iter([True, True, False])
    cloud = timed(connect(lambda params: internal if params["jobid"] == "a" and next(stumbles) else ends(params)))
    results = cloud.wait([Job("deployVirtualMachine", name) for name in "ab"])
    assert results == [{"id": "1"}, {"id": "2"}]
    assert any("Internal error executing command" in text for text in cloud.logged)


def test_a_question_that_always_fails_is_given_up_alone(connect, timed):
    internal = error(530, "Internal error executing command", "queryAsyncJobResult")
    ends = Jobs(b=(100, ok(success=True)))
    cloud = timed(connect(lambda params: internal if params["jobid"] == "a" else ends(params)))
    bad, good = cloud.wait([Job("deployVirtualMachine", name) for name in "ab"])
    assert good == {"success": True}
    assert "Internal error" in bad.text
    assert bad.outcome_unknown


def test_a_restarted_server_does_not_end_the_waiting(connect):
    end = job_answer(**ok(virtualmachine={"id": "1"}))
    cloud = connect([job_answer(), *["hang up"] * 20, end])
    assert cloud.wait([Job("deployVirtualMachine", "a"), Job("deployVirtualMachine", "b")]) == [{"id": "1"}] * 2


def test_a_server_that_is_too_busy_to_tell_has_not_failed_the_job(connect):
    cloud = connect([error(429, "please retry after 1000000 ms"), job_answer(**ok(success=True))])
    assert cloud.wait([Job("deployVirtualMachine", "a")]) == [{"success": True}]


def test_a_server_that_stays_away_ends_the_waiting(connect):
    cloud = connect("hang up")
    now = iter(range(0, 10000, 50))
    cloud._clock = lambda: next(now)
    results = cloud.wait([Job("deployVirtualMachine", "a"), Job("deployVirtualMachine", "b")])
    assert [result.outcome_unknown for result in results] == [True, True]
    assert "no connection" in str(results[0])


def test_a_command_done_at_once_is_a_job_that_is_done(connect, server):
    cloud = connect(answer({"createsecuritygroupresponse": {"securitygroup": {"id": "g"}}}))
    job = cloud.start("createSecurityGroup", name="g")
    assert job.done
    assert cloud.wait([job]) == [{"id": "g"}]
    assert len(server.requests) == 1
