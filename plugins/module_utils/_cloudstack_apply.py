# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carry out a plan for machines: all jobs side by side, and what goes wrong with one leaves the others alone."""

from __future__ import annotations

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_plan import MOVING, instance_group, is_ours
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import Problems

DETAILS = "group,nics,secgrp,tmpl,servoff,affgrp"
NOT_PERMITTED = 531
PROGRESS_INTERVAL = 30


def list_machines(cloud, scope):
    return cloud.list("listVirtualMachines", details=DETAILS, **scope)


class Progress:
    """Tells `log` what is still waited for: when that changes, and every half a minute."""

    def __init__(self, log):
        self._log = log
        self._told = None
        self._at = 0.0

    def __call__(self, waiting, elapsed):
        names = sorted({job.label for job in waiting})
        if names and (names != self._told or not 0 <= elapsed - self._at < PROGRESS_INTERVAL):
            self._log(f"Waiting for {', '.join(names)}, for {elapsed:.0f} s now")
            self._at = elapsed
        self._told = names


def settle(cloud, scope, cluster):
    """The machines, once none of the cluster's is on its way from one state to another."""
    while True:
        rows = list_machines(cloud, scope)
        moving = [
            row
            for row in rows
            if row.get("state") in MOVING and (is_ours(row, cluster) or row.get("group") == instance_group(cluster))
        ]
        if not moving:
            return rows
        if not cloud.left():
            raise Problems(
                [
                    f"{row['name']}: is still {row['state']}, and the time is up: see to it in the cloud"
                    for row in moving
                ]
            )
        cloud.pause(cloud.settings.poll_interval)


def deploy_params(wanted, group):
    params = {
        "name": wanted["name"],
        "displayname": wanted["name"],
        "zoneid": wanted["zone"]["id"],
        "serviceofferingid": wanted["offering"]["id"],
        "templateid": wanted["template"]["id"],
        "group": group,
    }
    lists = {
        "networkids": [network["id"] for network in wanted["networks"]],
        "securitygroupids": [row["id"] for row in wanted["security_groups"]],
        "affinitygroupids": [row["id"] for row in wanted["affinity_groups"]],
    }
    params.update({name: ",".join(map(str, ids)) for name, ids in lists.items() if ids})
    optional = {"keypair": wanted["key_pair"], "userdata": wanted["user_data"], "rootdisksize": wanted["root_disk"]}
    params.update({name: value for name, value in optional.items() if value})
    return params


class Apply:
    """Starts what a plan says and waits for it. `failed` maps each machine to the reasons why it is not as wanted."""

    def __init__(self, cloud, scope, cluster, expunge, on_progress=None):
        self._cloud = cloud
        self._scope = scope
        self._cluster = cluster
        self._expunge = expunge
        self._on_progress = on_progress
        self._jobs = []
        # Whether an answer never came, and whether the cloud has turned out to give none at all.
        self._doubtful = self._silent = False
        self.failed = {}
        self.done = {}
        self.warnings = []

    def run(self, steps):
        for step in [step for step in steps if step.action in ("destroy", "replace")]:
            self._destroy(step)
        # A name is free once the machine that had it is gone.
        if any(step.action == "replace" for step in steps):
            self._wait()
        for step in steps:
            if step.action == "deploy" or (step.action == "replace" and step.name not in self.failed):
                self._deploy(step)
            elif step.action == "start":
                self._start(step, "started", "startVirtualMachine", id=step.row["id"])
            if step.row and step.action in ("start", "keep"):
                self._tag(step)
        self._wait()

    def _fail(self, name, error):
        self.failed.setdefault(name, []).append(str(error))
        self._doubtful = self._doubtful or error.outcome_unknown

    def _obstacle(self, outcome):
        """Why nothing more is started, or None. One lost answer is no reason, if the cloud answers the next question."""
        # A machine that was deployed gets its tag in any case, or nobody would know whose it is.
        if outcome != "tagged" and not self._cloud.left():
            return "Not tried, because the time was up."
        if self._doubtful and not self._silent:
            try:
                self._cloud.call("listZones")
                self._doubtful = False
            except CloudStackError:
                self._silent = True
        return "Not tried, because the cloud has stopped answering." if self._silent else None

    def _start(self, step, outcome, command, **params):
        """Start a command for a machine; return its job, or None if the cloud refused it."""
        if obstacle := self._obstacle(outcome):
            self.failed.setdefault(step.name, []).append(obstacle)
            return None
        try:
            job = self._cloud.start(command, **params)
        except CloudStackError as error:
            self._fail(step.name, error)
            return None
        job.label = step.name
        self._jobs.append((step, outcome, job))
        return job

    def _deploy(self, step):
        params = deploy_params(step.wanted, instance_group(self._cluster))
        job = self._start(step, "deployed", "deployVirtualMachine", **params, **self._scope)
        # Tagged at once: from here on it is found again, whatever becomes of its deployment and of this run.
        if job is not None and job.resource:
            self._create_tags(step, job.resource, step.wanted["tags"])

    def _create_tags(self, step, resource, tags):
        pairs = [{"key": key, "value": value} for key, value in sorted(tags.items())]
        self._start(step, "tagged", "createTags", resourceids=resource, resourcetype="UserVm", tags=pairs)

    def _tag(self, step):
        if step.remove_tags:
            pairs = [{"key": key, "value": value} for key, value in sorted(step.remove_tags.items())]
            job = self._start(
                step, "tagged", "deleteTags", resourceids=step.row["id"], resourcetype="UserVm", tags=pairs
            )
            # A key can be given again once it is gone; the wait is short and there is one for all that changes.
            if job is None or isinstance(self._cloud.wait([job])[0], CloudStackError):
                return
        if step.add_tags:
            self._create_tags(step, step.row["id"], step.add_tags)

    def _destroy(self, step):
        params = {"id": step.row["id"]}
        if self._expunge:
            params["expunge"] = True
        before = len(self.failed.get(step.name, []))
        if self._start(step, "destroyed", "destroyVirtualMachine", **params) or not self._expunge:
            return
        if f"({NOT_PERMITTED})" in "".join(self.failed.get(step.name, [])[before:]):
            del self.failed[step.name][before:]
            if not self.failed[step.name]:
                del self.failed[step.name]
            self._expunge = False
            self.warnings.append(
                "This account may not expunge: destroyed machines stay in the cloud, and their names taken, until it "
                "cleans up by itself."
            )
            self._destroy(step)

    def _wait(self):
        jobs, self._jobs = self._jobs, []
        results = self._cloud.wait([job for _step, _outcome, job in jobs], self._on_progress)
        for (step, outcome, _job), result in zip(jobs, results):
            if isinstance(result, CloudStackError):
                self._fail(step.name, result)
            else:
                self.done.setdefault(outcome, []).append(step.name)
