# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits where: a task's constraints and resources against what an agent offers."""

import random

SCALARS = {"cpus": "numCpus", "mem": "ramMb", "disk": "diskMb"}


def wanted(config):
    """A task's {cpus, mem, disk} and the names of its ports, from its list of resources."""
    values = {kind: next((r[name] for r in config["resources"] if name in r), 0) for kind, name in SCALARS.items()}
    return values, [r["namedPort"] for r in config["resources"] if "namedPort" in r]


def attributes(offer):
    """name -> set of values. Agents need no `host` attribute: their hostname stands in."""
    result = {}
    for attribute in offer.get("attributes", []):
        value = attribute["text"]["value"] if "text" in attribute else attribute.get("scalar", {}).get("value")
        result.setdefault(attribute["name"], set()).add(f"{value:g}" if isinstance(value, float) else str(value))
    result.setdefault("host", {offer["hostname"]})
    return result


def vetoes(config, agent, active):
    """Why agent's attributes rule a task out; active are the attributes of its job's other running tasks."""
    reasons = []
    for item in config.get("constraints", []):
        name, kind = item["name"], item["constraint"]
        have = agent.get(name, set())
        if "value" in kind:
            if bool(have & set(kind["value"]["values"])) == kind["value"]["negated"]:
                reasons.append(f"Constraint not satisfied: {name}")
        elif not have or any(sum(v in other.get(name, ()) for other in active) >= kind["limit"]["limit"] for v in have):
            reasons.append(f"Limit not satisfied: {name}")
    if "dedicated" in agent and not any(c["name"] == "dedicated" for c in config.get("constraints", [])):
        reasons.append("Host is dedicated")
    return reasons


class Pool:
    """The unused rest of one agent's offers, from which tasks take their parts."""

    def __init__(self, offers):
        self.resources = [dict(r) for offer in offers for r in offer["resources"] if "revocable" not in r and "disk" not in r]
        for resource in self.resources:
            if resource["type"] == "RANGES":
                resource["ranges"] = [[r["begin"], r["end"]] for r in resource["ranges"]["range"]]
            elif resource["type"] == "SCALAR":
                resource["scalar"] = resource["scalar"]["value"]

    def total(self, name):
        return sum(r["scalar"] for r in self.resources if r["name"] == name and r["type"] == "SCALAR")

    def lacks(self, values, ports=0):
        """The kinds of resource this pool has too little of."""
        have = sum(end - begin + 1 for r in self.resources if r["name"] == "ports" for begin, end in r["ranges"])
        lacking = [name for name, value in values.items() if value > self.total(name) + 1e-6]
        return lacking + (["ports"] if ports > have else [])

    def take(self, values):
        """Mesos resources that add up to values, reserved ones first."""
        taken = []
        for name, value in values.items():
            for resource in sorted(self.resources, key=lambda r: r.get("role", "*") == "*"):
                part = min(value, resource["scalar"]) if resource["name"] == name and resource["type"] == "SCALAR" else 0
                if part > 1e-9:
                    resource["scalar"] -= part
                    value -= part
                    taken.append({**resource, "scalar": {"value": round(part, 6)}})
        return taken

    def take_ports(self, count):
        """(Mesos resources, numbers) of count ports, picked at random so that a number is not reused at once."""
        taken, numbers = [], []
        for resource in self.resources:
            while resource["name"] == "ports" and resource["ranges"] and len(numbers) < count:
                span = random.choice(resource["ranges"])  # noqa: S311 - nothing secret about a port
                port = random.randint(*span)  # noqa: S311
                resource["ranges"].remove(span)
                resource["ranges"] += [s for s in ([span[0], port - 1], [port + 1, span[1]]) if s[0] <= s[1]]
                taken.append({**resource, "ranges": {"range": [{"begin": port, "end": port}]}})
                numbers.append(port)
        return taken, numbers
