# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has to happen so that the machines of a cluster are those that are wanted. Pure functions over the cloud's rows."""

from __future__ import annotations

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_wanted import CLUSTER_TAG

MOVING = ("Starting", "Stopping", "Migrating", "Moving", "Restoring")
GONE = ("Destroyed", "Expunging", "Expunged")


class Step:
    """What happens to one machine. `action` is deploy, replace, start, keep or destroy; `row` is the cloud's, if any."""

    def __init__(self, name, action, row=None, wanted=None):
        self.name = name
        self.action = action
        self.row = row
        self.wanted = wanted
        self.remove_tags, self.add_tags = tag_changes(row, wanted) if action in ("start", "keep") else ({}, {})

    @property
    def changes(self):
        return self.action != "keep" or bool(self.remove_tags or self.add_tags)


class Plan:
    def __init__(self):
        self.steps = []
        self.problems = []
        self.warnings = []


def instance_group(cluster):
    """The cloud's own grouping of machines, given with the deployment: it marks those that were not yet tagged."""
    return f"aurora-cluster-{cluster}"


def tags_of(row):
    return {tag["key"]: tag.get("value", "") for tag in row.get("tags") or []}


def tag_changes(row, wanted):
    """Tags to remove and to add. Tags that nobody asked for stay."""
    have = tags_of(row)
    add = {key: value for key, value in wanted["tags"].items() if have.get(key) != value}
    return {key: have[key] for key in add if key in have}, add


def is_ours(row, cluster):
    return tags_of(row).get(CLUSTER_TAG) == cluster


def default_card(row):
    cards = row.get("nic") or []
    return next((card for card in cards if card.get("isdefault")), cards[0] if cards else {})


def names_of(rows):
    return sorted(str(row.get("name")) for row in rows or [])


def key_pair_of(row):
    return row.get("keypairs") or row.get("keypair")


def key_pairs_of(row):
    """Newer clouds list all the key pairs of a machine in one string."""
    return [name.strip() for name in str(key_pair_of(row) or "").split(",")]


def summary(row):
    """A machine as it is reported."""
    return {
        "name": row.get("name"),
        "id": row.get("id"),
        "state": row.get("state"),
        "zone": row.get("zonename"),
        "offering": row.get("serviceofferingname"),
        "template": row.get("templatename"),
        "address": default_card(row).get("ipaddress"),
        "public_address": row.get("publicip"),
        "tags": tags_of(row),
    }


def facts(row):
    """What a difference between before and after is told in."""
    return {
        "state": row.get("state"),
        "zone": row.get("zonename"),
        "offering": row.get("serviceofferingname"),
        "template": row.get("templatename"),
        "key_pair": key_pair_of(row),
        "security_groups": names_of(row.get("securitygroup")),
        "tags": tags_of(row),
    }


def wanted_facts(wanted):
    return {
        "state": "Running",
        "zone": wanted["zone"]["name"],
        "offering": wanted["offering"]["name"],
        "template": wanted["template"]["name"],
        "key_pair": wanted["key_pair"],
        "security_groups": names_of(wanted["security_groups"])
        or ["default"] * bool(wanted["zone"].get("securitygroupsenabled")),
        "tags": wanted["tags"],
    }


def drift(row, wanted):
    """What differs and cannot be changed on a machine that exists."""
    have, want = facts(row), wanted_facts(wanted)
    different = [
        f"{field.replace('_', ' ')} {have[field] or 'none'} (wanted: {want[field] or 'none'})"
        for field in ("zone", "offering", "template", "key_pair", "security_groups")
        # What an answer leaves out is not known to differ.
        if have[field] not in (None, []) and have[field] != want[field]
    ]
    wanted_networks = {network["id"] for network in wanted["networks"]}
    if wanted_networks and wanted_networks != {card.get("networkid") for card in row.get("nic") or []}:
        networks = sorted(str(card.get("networkname")) for card in row.get("nic") or [])
        different.append(f"networks {', '.join(networks)} (wanted: {', '.join(names_of(wanted['networks']))})")
    return different


def _step_for(plan, wanted, rows, cluster):
    """Append the step for one wanted machine, given all machines of its name."""
    name = wanted["name"]
    marked = [row for row in rows if is_ours(row, cluster)]
    untagged = [row for row in rows if row.get("group") == instance_group(cluster) and CLUSTER_TAG not in tags_of(row)]
    ours = marked + untagged
    if len(ours) > 1:
        ids = ", ".join(sorted(str(row["id"]) for row in ours))
        plan.problems.append(f"{name}: {len(ours)} machines of this cluster have this name ({ids}): remove all but one")
        return
    if not ours:
        strangers = [row for row in rows if str(row.get("zoneid")) == str(wanted["zone"]["id"])]
        if strangers:
            plan.problems.append(
                f"{name}: the zone {wanted['zone']['name']} has a machine of this name ({strangers[0]['id']}) that does not "
                f"belong to this cluster: choose another name, or give that machine the tag {CLUSTER_TAG}={cluster}"
            )
        else:
            plan.steps.append(Step(name, "deploy", wanted=wanted))
        return
    row = ours[0]
    state = row.get("state")
    if state == "Error":
        # It never ran, and the cloud starts such a machine no more.
        plan.steps.append(Step(name, "replace", row, wanted))
        return
    if state not in ("Running", "Stopped", *MOVING):
        plan.problems.append(f"{name}: the machine {row['id']} is in state {state}: see to it in the cloud")
        return
    plan.steps.append(Step(name, "start" if state == "Stopped" else "keep", row, wanted))
    if different := drift(row, wanted):
        plan.warnings.append(
            f"{name} has {'; '.join(different)}. That is not changed on a machine that exists: destroy it and provision "
            "again, or change it in the cloud."
        )


def make_plan(machines, rows, cluster, purge):
    """The steps that lead from the cloud's rows to the wanted machines."""
    plan = Plan()
    rows = [row for row in rows if row.get("state") not in GONE]
    for wanted in machines:
        _step_for(plan, wanted, [row for row in rows if row.get("name") == wanted["name"]], cluster)
    names = {wanted["name"] for wanted in machines}
    others = [row for row in rows if is_ours(row, cluster) and row.get("name") not in names]
    if purge:
        plan.steps += [Step(row["name"], "destroy", row) for row in others]
    elif others:
        plan.warnings.append(
            f"{', '.join(names_of(others))}: of this cluster, and no longer wanted. Left as they are; `purge` removes them."
        )
    plan.warnings += _left_over(rows, cluster, names)
    return plan


def make_removal(names, rows, cluster):
    """The steps that remove machines of a cluster: those of the given names, or all."""
    plan = Plan()
    rows = [row for row in rows if row.get("state") not in GONE]
    ours = [row for row in rows if is_ours(row, cluster) and (names is None or row.get("name") in names)]
    plan.steps = [Step(row["name"], "destroy", row) for row in ours]
    plan.warnings = _left_over(rows, cluster, set())
    return plan


def _left_over(rows, cluster, names):
    """Warnings about machines that an interrupted run deployed and could not tag any more."""
    return [
        f"{row.get('name')} ({row.get('id')}) was deployed for this cluster by a run that was interrupted before it could "
        f"tag it. It is left as it is: give it the tag {CLUSTER_TAG}={cluster}, or remove it in the cloud."
        for row in rows
        if row.get("group") == instance_group(cluster)
        and CLUSTER_TAG not in tags_of(row)
        and row.get("name") not in names
    ]


def difference(plan):
    """Before and after, machine by machine, of those that change."""
    before, after = {}, {}
    for step in plan.steps:
        if not step.changes:
            continue
        before[step.name] = facts(step.row) if step.row else "absent"
        if step.action == "destroy":
            after[step.name] = "absent"
        elif step.action in ("deploy", "replace"):
            after[step.name] = wanted_facts(step.wanted)
        else:
            tags = {**before[step.name]["tags"], **step.add_tags}
            after[step.name] = {**before[step.name], "state": "Running", "tags": tags}
    return before, after
