# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits where: a task's constraints and resources against what an agent offers."""

import random

SCALARS = {"cpus": "numCpus", "mem": "ramMb", "disk": "diskMb"}


def wanted(config):
    """A task's {cpus, mem, disk} and the names of its ports, from its list of resources."""
    values = {kind: next((r[name] for r in config["resources"] if name in r), 0) for kind, name in SCALARS.items()}
    return values, [r["namedPort"] for r in config["resources"] if "namedPort" in r]


def attributes(offer):
    """name -> list of values. Agents need no `host` attribute: their hostname stands in."""
    result = {}
    for attribute in offer.get("attributes", []):
        value = attribute["text"]["value"] if "text" in attribute else attribute.get("scalar", {}).get("value")
        result.setdefault(attribute["name"], []).append(f"{value:g}" if isinstance(value, float) else str(value))
    return {"host": [offer["hostname"]], **result}


def vetoes(config, agent, active):
    """Why an agent's attributes rule a task out; active are the attributes around its job's other running tasks."""
    reasons = []
    for item in config["constraints"]:
        name, kind, have = item["name"], item["constraint"], agent.get(item["name"], [])
        if "value" in kind:
            if any(value in kind["value"]["values"] for value in have) == kind["value"]["negated"]:
                reasons.append(f"Constraint not satisfied: {name}")
        elif not have or any(sum(v in other.get(name, ()) for other in active) >= kind["limit"]["limit"] for v in have):
            reasons.append(f"Limit not satisfied: {name}")
    if "dedicated" in agent and not any(item["name"] == "dedicated" for item in config["constraints"]):
        reasons.append("Host is dedicated")
    return reasons


class Pool:
    """The unused rest of one agent's offers, from which tasks take their parts."""

    def __init__(self, offers):
        usable = [dict(r) for o in offers for r in o["resources"] if "revocable" not in r and "disk" not in r]
        self.scalars = [{**r, "scalar": r["scalar"]["value"]} for r in usable if r["type"] == "SCALAR"]
        self.ports = [
            (r, n)
            for r in usable
            if r["name"] == "ports"
            for span in r["ranges"]["range"]
            for n in range(span["begin"], span["end"] + 1)
        ]
        random.shuffle(self.ports)  # so that a number just given back is not used again at once

    def lacks(self, values, ports):
        """The kinds of resource this pool has too little of."""
        totals = {name: sum(r["scalar"] for r in self.scalars if r["name"] == name) for name in values}
        return [name for name in values if values[name] > totals[name] + 1e-6] + ["ports"] * (ports > len(self.ports))

    def take(self, values):
        """Mesos resources that add up to values, reserved ones first."""
        taken = []
        for name, value in values.items():
            for resource in sorted(self.scalars, key=lambda r: r.get("role", "*") == "*"):
                part = min(value, resource["scalar"]) if resource["name"] == name else 0
                if part > 1e-9:
                    resource["scalar"] -= part
                    value -= part
                    taken.append({**resource, "scalar": {"value": round(part, 6)}})
        return taken

    def take_ports(self, count):
        """(Mesos resources, numbers) of count ports."""
        picked, self.ports = self.ports[:count], self.ports[count:]
        return [{**r, "ranges": {"range": [{"begin": n, "end": n}]}} for r, n in picked], [n for _r, n in picked]
