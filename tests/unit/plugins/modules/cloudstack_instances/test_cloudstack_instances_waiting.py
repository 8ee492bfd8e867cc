# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that are lost, jobs that take long, and what is told meanwhile."""

from __future__ import annotations

import pytest
from ansible_collections.aurora.cluster.plugins.module_utils import _cloudstack
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import Job
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_apply import Progress
from doubles.cloudstack import Fault
from doubles.cloudstack.wishes import names, tags, wish


@pytest.fixture
def lose(double):
    """Lose the answer to the second call of a command, which is carried out all the same; afterwards to all calls, too."""

    def lose(command, for_good=False):
        seen = []

        def alter(name, answer):
            if name == command or (for_good and len(seen) > 1):
                seen.append(name)
                if len(seen) == 2 or (for_good and len(seen) > 2):
                    raise ConnectionError("lost")
            return answer

        double.server.alter = alter
        double.server.handle_error = lambda *arguments: None

    return lose


def test_one_lost_answer_stops_no_other_machine(run, double, lose):
    lose("deployVirtualMachine")
    first = run(**wish("a", "b", "c"))
    assert first["failed"]
    assert first["failed_parts"].keys() == {"b"}
    assert "may have carried it out all the same" in first["failed_parts"]["b"]
    assert first["deployed"] == ["a", "c"]
    # What may have happened was not asked for again, and the next run takes up what did happen.
    assert (double.cloud.calls["deployVirtualMachine"], names(double)) == (3, ["a", "b", "c"])

    double.server.alter = None
    second = run(**wish("a", "b", "c"))
    assert (second["failed"], second["deployed"], names(double)) == (False, [], ["a", "b", "c"])
    assert tags(double.machine("b"))["aurora_cluster"] == "blue"


def test_a_cloud_that_answers_nothing_more_is_left_alone(run, double, lose, monkeypatch):
    monkeypatch.setattr(_cloudstack, "READ_RETRIES", 1)
    monkeypatch.setattr(_cloudstack, "JOB_OUTAGE", 0)
    lose("deployVirtualMachine", for_good=True)
    first = run(**wish("a", "b", "c"))
    assert first["failed_parts"]["c"] == "Not tried, because the cloud has stopped answering."
    assert double.cloud.calls["deployVirtualMachine"] == 2


def test_one_deadline_for_all_of_it(run, double):
    """The time is spent on one machine that was going to be replaced; nothing new is begun after it."""
    double.cloud.faults.append(Fault("deployVirtualMachine", name="b"))
    run(**wish("b"))
    double.cloud.seconds["destroyVirtualMachine"] = 30
    result = run(job_timeout=1, **wish("a", "b"))
    assert "still runs after 1 s" in result["failed_parts"]["b"]
    assert result["failed_parts"]["a"] == "Not tried, because the time was up."
    assert names(double) == ["b"]


def test_what_is_waited_for_is_in_the_log(run, double, logged):
    double.cloud.seconds["deployVirtualMachine"] = {"a": 0.5, "b": 1}.get
    assert run(**wish("a", "b"))["failed"] is False
    assert [text.split(",")[0] for text in logged if text.startswith("Waiting for")][-1] == "Waiting for b"
    assert any(text.startswith("Waiting for a, b, for 0 s now") for text in logged)
    assert not any("alice-secret" in text or "alice-key" in text for text in logged)


def test_progress_is_told_when_it_changes_and_every_half_a_minute():
    told: list[str] = []
    progress = Progress(told.append)
    a, b = Job("deployVirtualMachine", "1"), Job("deployVirtualMachine", "2")
    a.label, b.label = "a", "b"
    for second in range(0, 70, 2):
        progress([b, a] if second < 10 else [b], second)
    progress([], 70)
    assert told == [
        "Waiting for a, b, for 0 s now",
        "Waiting for b, for 10 s now",
        "Waiting for b, for 40 s now",
    ]
