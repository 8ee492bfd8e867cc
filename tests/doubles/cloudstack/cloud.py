# SPDX-License-Identifier: GPL-3.0-or-later
"""The double's state: rows as the API shows them, the jobs that change them, and the faults a test asks for."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Callable

PENDING, DONE, FAILED = 0, 1, 2
RESTARTED = "job cancelled because of management server restart or shutdown"


class ApiError(Exception):
    def __init__(self, code: int, text: str, cscode: int = 9999) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.cscode = cscode

    def body(self) -> dict:
        return {"uuidList": [], "errorcode": self.code, "cserrorcode": self.cscode, "errortext": self.text}


@dataclasses.dataclass
class Fault:
    """Something that goes wrong, on the call itself or later in its job.

    `name` restricts it to the machine, key pair or group of that name; `times` is how often it happens (None: always).
    """

    command: str
    text: str = "Unable to create a deployment for VM"
    code: int = 533
    name: str | None = None
    where: str = "job"
    times: int | None = 1

    def strikes(self, command: str, name: str | None, where: str) -> bool:
        if self.where != where or self.command.lower() != command.lower() or self.times == 0:
            return False
        if self.name is not None and self.name != name:
            return False
        if self.times is not None:
            self.times -= 1
        return True


@dataclasses.dataclass
class User:
    key: str
    secret: str
    account: str
    admin: bool = False
    projects: tuple[str, ...] = ()


def known_id(kind: str, name: str) -> str:
    """The same name has the same id in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{kind}.double"))


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+0000")


def public(row: dict) -> dict:
    return {key: value for key, value in row.items() if not key.startswith("_")}


class Cloud:
    """Rows by kind, jobs by id. All access happens under `lock`.

    hosting: what puts a real machine behind an instance, or None.
    seconds: how long the job of a command takes, by command or for all as "*"; a number, or a function of the name.
    state: a file that keeps rows and jobs, so that a server that was killed finds them again.
    """

    def __init__(self, hosting=None, seconds: dict | None = None, state: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.hosting = hosting
        self.seconds = seconds or {}
        self.faults: list[Fault] = []
        self.users: dict[str, User] = {}
        self.rows: dict[str, list[dict]] = collections.defaultdict(list)
        self.jobs: dict[str, dict] = {}
        self.calls: collections.Counter[str] = collections.Counter()
        self.may_expunge = True
        self._state = Path(state) if state else None

    # State

    def load(self) -> bool:
        """Continue from the state file; what was running when the server ended has failed."""
        if not self._state or not self._state.exists():
            return False
        kept = json.loads(self._state.read_text(encoding="utf-8"))
        self.rows.clear()
        self.rows.update(kept["rows"])
        self.jobs = kept["jobs"]
        for job in self.jobs.values():
            if job["jobstatus"] == PENDING:
                job.update(jobstatus=FAILED, jobresultcode=530, jobresult=ApiError(530, RESTARTED).body())
        for row in self.rows["machine"]:
            settled = {"Starting": "Stopped", "Stopping": "Running", "Expunging": "Destroyed"}
            row["state"] = settled.get(row["state"], row["state"])
        self.save()
        return True

    def save(self) -> None:
        if self._state:
            temporary = self._state.with_suffix(".new")
            temporary.write_text(json.dumps({"rows": self.rows, "jobs": self.jobs}), encoding="utf-8")
            os.replace(temporary, self._state)

    # Rows

    def add(self, kind: str, row: dict) -> dict:
        row.setdefault("id", str(uuid.uuid4()))
        self.rows[kind].append(row)
        return row

    def by_id(self, kind: str, identifier: object) -> dict | None:
        return next((row for row in self.rows[kind] if str(row["id"]) == str(identifier)), None)

    def by_name(self, kind: str, name: str) -> dict | None:
        return next((row for row in self.rows[kind] if row["name"] == name), None)

    # What goes wrong

    def strike(self, command: str, name: str | None, where: str) -> ApiError | None:
        for fault in self.faults:
            if fault.strikes(command, name, where):
                return ApiError(fault.code, fault.text)
        return None

    # Jobs

    def duration(self, command: str, name: str | None) -> float:
        wanted = self.seconds.get(command, self.seconds.get("*", 0))
        return wanted(name) if callable(wanted) else wanted

    def start_job(
        self, user: User, command: str, name: str | None, row_id: str | None, finish: Callable, failed: Callable
    ) -> str:
        """Begin a job. `finish` returns its result when its time is up; `failed` tidies up when it does not work out."""
        job_id = str(uuid.uuid4())
        self.jobs[job_id] = {
            "jobid": job_id,
            "cmd": command,
            "userid": known_id("user", user.key),
            "accountid": known_id("account", user.account),
            "jobstatus": PENDING,
            "jobprocstatus": 0,
            "jobresultcode": 0,
            "jobinstanceid": row_id,
            "created": now(),
        }
        arguments = (job_id, command, name, finish, failed)
        threading.Thread(target=self._run_job, args=arguments, daemon=True).start()
        return job_id

    def _run_job(self, job_id: str, command: str, name: str | None, finish: Callable, failed: Callable) -> None:
        try:
            time.sleep(self.duration(command, name))
            with self.lock:
                error = self.strike(command, name, "job")
            if error:
                raise error
            result = finish()
            outcome = {"jobstatus": DONE, "jobresulttype": "object", "jobresult": result}
        except ApiError as error:
            with self.lock:
                failed()
            outcome = {"jobstatus": FAILED, "jobresultcode": error.code, "jobresulttype": "object"}
            outcome["jobresult"] = {"errorcode": error.code, "errortext": error.text}
        except Exception as error:
            with self.lock:
                failed()
            outcome = {"jobstatus": FAILED, "jobresultcode": 530}
            outcome["jobresult"] = {"errorcode": 530, "errortext": f"{type(error).__name__}: {error}"}
        with self.lock:
            self.jobs[job_id].update(outcome, completed=now())
            self.save()

    @contextlib.contextmanager
    def unlocked(self):
        """Let others work while something slow happens."""
        self.lock.release()
        try:
            yield
        finally:
            self.lock.acquire()
