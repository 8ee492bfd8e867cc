# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits where: a task's constraints and resources against what an agent offers."""

import random

SCALARS = {"cpus": "numCpus", "mem": "ramMb", "disk": "diskMb"}


def wanted(config):
    """A task's {cpus, mem, disk} and the names of its ports, from its list of resources."""
    values = {kind: next((r[name] for r in config["resources"] if name in r), 0) for kind, name in SCALARS.items()}
    return values, [r["namedPort"] for r in config["resources"] if "namedPort" in r]


class Offer:
    """One agent's offer, from which tasks take their parts."""

    def __init__(self, offer):
        self.id, self.agent_id, self.hostname, self.launches = offer["id"], offer["agent_id"], offer["hostname"], []
        self.attributes = {"host": [self.hostname]}  # agents need no attribute of this name
        for attribute in offer.get("attributes", []):
            for kind, form in (("text", "{}"), ("scalar", "{:g}")):  # upstream passes over ranges and sets too
                if kind in attribute:
                    self.attributes.setdefault(attribute["name"], []).append(form.format(attribute[kind]["value"]))
        usable = [r for r in offer["resources"] if "revocable" not in r and "disk" not in r]
        self.left = {r["name"]: r["scalar"]["value"] for r in usable if r["type"] == "SCALAR"}
        spans = [span for r in usable if r["name"] == "ports" for span in r["ranges"]["range"]]
        self.ports = [number for span in spans for number in range(span["begin"], span["end"] + 1)]
        random.shuffle(self.ports)  # so that a number just given back is not used again at once

    def vetoes(self, constraints, values, ports):
        """Why a task with these constraints, that needs these values and so many ports, cannot run here."""
        reasons = []
        for item in constraints:
            kind, have = item["constraint"].get("value"), self.attributes.get(item["name"], [])
            if not kind or any(value in kind["values"] for value in have) == kind["negated"]:
                reasons.append(f"Constraint not satisfied: {item['name']}")
        if "dedicated" in self.attributes and not any(item["name"] == "dedicated" for item in constraints):
            reasons.append("Host is dedicated")
        left = {**self.left, "ports": len(self.ports)}
        return reasons + [
            f"Insufficient: {n}" for n, v in {**values, "ports": ports}.items() if v > left.get(n, 0) + 1e-6
        ]

    def take(self, values, ports=0):
        """(Mesos resources of these values and so many ports, the ports' numbers)."""
        for name, value in values.items():
            self.left[name] -= value
        numbers, self.ports = self.ports[:ports], self.ports[ports:]
        taken = [{"name": name, "type": "SCALAR", "scalar": {"value": value}} for name, value in values.items()]
        if numbers:
            ranges = [{"begin": number, "end": number} for number in numbers]
            taken.append({"name": "ports", "type": "RANGES", "ranges": {"range": ranges}})
        return taken, numbers
