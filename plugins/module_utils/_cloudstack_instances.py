# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the module cloudstack_instances does, from the wish to the report."""

from __future__ import annotations

import re

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack import CloudStackError, from_options
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_access import (
    OPEN,
    KeyPair,
    SecurityGroup,
    rule_text,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_apply import (
    Apply,
    Progress,
    list_machines,
    settle,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_plan import (
    GONE,
    difference,
    is_ours,
    make_plan,
    make_removal,
    summary,
)
from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import (
    Problems,
    project_scope,
    resolve_machines,
)

IN_USE = 536
HELD = "Destroyed machines are in it until the cloud expunges them; run again after that."
OUTCOMES = {"deployed": ("deploy", "replace"), "started": ("start",), "destroyed": ("destroy", "replace")}


class Run:
    def __init__(self, module):
        self.module = module
        self.params = module.params
        self.cloud = from_options(module.params, module.log, module.params["job_timeout"])
        self.on_progress = Progress(module.log)
        self.before = {}
        self.after = {}

    # What is asked

    def check_wish(self):
        """Problems that show without asking the cloud."""
        problems = []
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,40}[A-Za-z0-9])?", self.params["cluster"]):
            problems.append(
                f"cluster: {self.params['cluster']!r} is no name; use letters, digits and inner hyphens, 42 at most"
            )
        if self.params["state"] == "present":
            if not self.params["machines"]:
                problems.append("machines: none are wanted. To remove them all, say state: absent")
            for wish in self.params["machines"] or []:
                missing = [name for name in ("zone", "offering", "template") if not wish[name]]
                if missing:
                    problems.append(f"{wish['name']}: {' and '.join(missing)} missing; give a name or an id")
            group = self.params["security_group"]
            if group and not group["admin_cidrs"]:
                problems.append(
                    "security_group: admin_cidrs is empty, so that nobody could reach the machines. Give the networks that "
                    "you come from, such as 203.0.113.7/32"
                )
        if problems:
            raise Problems(problems)

    def run(self):
        self.check_wish()
        self.scope = project_scope(self.cloud, self.params["project"])
        wish = self.params["key_pair"]
        cluster = self.params["cluster"]
        self.keys = KeyPair(self.cloud, self.scope, wish["name"], wish["public_key"], cluster) if wish else None
        wish = self.params["security_group"]
        self.group = SecurityGroup(self.cloud, self.scope, wish["name"], cluster, self.on_progress) if wish else None
        if self.params["state"] == "present":
            self.present()
        else:
            self.absent()

    # Present

    def present(self):
        cluster = self.params["cluster"]
        if self.keys:
            self.keys.check()
        if self.group:
            wish = self.params["security_group"]
            self.group.check(wish["admin_cidrs"], wish["admin_ports"], wish["peer_cidrs"])
            if open_to_all := set(OPEN) & set(wish["admin_cidrs"]):
                self.module.warn(
                    f"admin_cidrs lets the whole world in ({', '.join(sorted(open_to_all))}), as you asked."
                )
        machines = resolve_machines(
            self.cloud,
            self.scope,
            self.params["machines"],
            cluster,
            self.keys.name if self.keys else None,
            self.group.name if self.group else None,
        )
        plan = make_plan(machines, self.rows(), cluster, self.params["purge"])
        if plan.problems:
            raise Problems(plan.problems)
        self.note_access()
        self.note_machines(plan)
        if not self.module.check_mode:
            self.apply_access(machines)
        self.finish(plan, rules=self.group)

    def note_access(self):
        if self.keys and self.keys.missing:
            self.note(f"key pair {self.keys.name}", "absent", "registered")
        if self.group and (self.group.row is None or self.group.to_add or self.group.to_remove):
            have = sorted(map(rule_text, self.group.rules)) if self.group.row else "absent"
            self.note(f"security group {self.group.name}", have, sorted(map(rule_text, self.group.wanted)))

    def apply_access(self, machines):
        if self.keys and self.keys.missing:
            self.keys.register()
        if not self.group:
            return
        self.group.create()
        self.group.begin()
        for machine in machines:
            for entry in machine["security_groups"]:
                if entry["name"] == self.group.name:
                    entry["id"] = self.group.row["id"]

    # Absent

    def absent(self):
        wishes = self.params["machines"]
        names = None if wishes is None else {wish["name"] for wish in wishes}
        rows = self.rows()
        plan = make_removal(names, rows, self.params["cluster"])
        self.note_machines(plan)
        removals = []
        if names is None:
            going = [step.row for step in plan.steps]
            staying = [row for row in rows if row not in going]
            removals = [self.key_pair_to_remove(staying), self.group_to_remove(staying)]
        self.finish(plan, afterwards=[removal for removal in removals if removal])

    def key_pair_to_remove(self, rows):
        """What removes the cluster's key pair, unless one of the machines in `rows`, which stay, carries it."""
        if not self.keys or not self.keys.removable:
            return None
        if users := self.keys.users(rows):
            self.module.warn(f"The key pair {self.keys.name} stays, in use by {', '.join(users)}.")
            return None
        self.note(f"key pair {self.keys.name}", "registered", "absent")
        return self.keys.delete

    def group_to_remove(self, rows):
        """What removes the cluster's security group, unless one of the machines in `rows`, which stay, is in it."""
        if not self.group or not self.group.ours:
            return None
        gone = [row for row in rows if row.get("state") in GONE]
        if members := self.group.members(row for row in rows if row not in gone):
            self.module.warn(f"The security group {self.group.name} stays, in use by {', '.join(members)}.")
            return None
        gone += self.cloud.list("listVirtualMachines", state="Destroyed", **self.scope)
        if self.group.members(gone):
            self.module.warn(f"The security group {self.group.name} stays. {HELD}")
            return None
        self.note(f"security group {self.group.name}", sorted(map(rule_text, self.group.rules)), "absent")
        return self.remove_group

    def remove_group(self):
        try:
            self.group.delete()
        except CloudStackError as error:
            if error.code != IN_USE:
                raise
            self.module.warn(f"The security group {self.group.name} stays: {error.text}. {HELD}")
            for side in (self.before, self.after):
                del side[f"security group {self.group.name}"]

    # Both

    def rows(self):
        """The cloud's machines. An earlier run's jobs are waited for, unless nothing is to be changed anyway."""
        if self.module.check_mode:
            return list_machines(self.cloud, self.scope)
        return settle(self.cloud, self.scope, self.params["cluster"])

    def note(self, name, before, after):
        self.before[name] = before
        self.after[name] = after

    def note_machines(self, plan):
        for text in plan.warnings:
            self.module.warn(text)
        before, after = difference(plan)
        self.before.update(before)
        self.after.update(after)

    def finish(self, plan, rules=None, afterwards=()):
        """Carry the plan out, unless only asked what would happen, and tell how things are.

        `rules` is a security group whose rules are being added; `afterwards` are called once all machines are as wanted.
        """
        # Before and after change below, when something turns out to stay.
        result = {"diff": {"before": self.before, "after": self.after}}
        if self.module.check_mode:
            for outcome, actions in OUTCOMES.items():
                result[outcome] = sorted(step.name for step in plan.steps if step.action in actions)
            result["machines"] = [summary(step.row) for step in plan.steps if step.row]
            self.module.exit_json(changed=bool(self.after), calls=self.cloud.calls, **result)
        apply = Apply(self.cloud, self.scope, self.params["cluster"], self.params["expunge"], self.on_progress)
        apply.run(plan.steps)
        if rules:
            try:
                rules.finish()
            except CloudStackError as error:
                apply.failed[f"security group {rules.name}"] = [str(error)]
        for text in apply.warnings:
            self.module.warn(text)
        for outcome in OUTCOMES:
            result[outcome] = sorted(apply.done.get(outcome, []))
        if apply.failed:
            self.module.fail_json(
                msg=failure_text(apply.failed),
                failed_parts={name: " ".join(reasons) for name, reasons in apply.failed.items()},
                changed=bool(self.after),
                calls=self.cloud.calls,
                **result,
            )
        for removal in afterwards:
            removal()
        changed = bool(self.after)
        rows = list_machines(self.cloud, self.scope) if changed else [step.row for step in plan.steps]
        ours = [summary(row) for row in rows if is_ours(row, self.params["cluster"])]
        machines = sorted(ours, key=lambda row: row["name"])
        self.module.exit_json(changed=changed, machines=machines, calls=self.cloud.calls, **result)


def failure_text(failed):
    head = "Not all is as wanted. What is not named here is; run again when the reason is gone."
    return "\n".join([head] + [f"- {name}: {' '.join(reasons)}" for name, reasons in sorted(failed.items())])
