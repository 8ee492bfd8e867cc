# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's command line: -flag=value, each flag and its type listed in flags.json."""

import json
import pkgutil
import re
import sys
from types import SimpleNamespace

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60, "hrs": 3600, "days": 86400}
MEGABYTES = {"KB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024**2}
# Not marked required upstream, but nothing works without them.
NEEDED = ("native_log_file_path", "native_log_zk_group_path", "thermos_executor_path")


class FlagError(Exception):
    """The command line cannot be used; the message says why, one problem a line."""


def amount(text, units, what):
    match = re.fullmatch(r"(\d+)([A-Za-z]+)", text)
    if not match or match[2] not in units:
        raise ValueError(f"is not {what}: <number>{'|'.join(units)}, without a space")
    return int(match[1]) * units[match[2]]


def boolean(text):
    if text not in ("true", "false"):
        raise ValueError("is not a boolean: true or false")
    return text == "true"


def number(kind, what):
    def convert(text):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"is not {what}") from None
    return convert


def pattern(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None


def servers(text):
    for part in text.split(","):
        if not re.fullmatch(r"[^\s:/]+:\d{1,5}", part):
            raise ValueError("is not a list of host:port,host:port")
    return text


def absolute(text):
    if not re.fullmatch(r"(/[^/\s]+)+", text):
        raise ValueError("is not an absolute path without a trailing slash")
    return text


TYPES = {
    "string": str, "list": lambda text: [part for part in text.split(",") if part], "path": absolute,
    "boolean": boolean, "integer": number(int, "an integer"), "float": number(float, "a number"),
    "duration": lambda text: amount(text, SECONDS, "a duration"),
    "data": lambda text: amount(text, MEGABYTES, "an amount of data"), "regex": pattern, "servers": servers,
}


def known():
    return json.loads(pkgutil.get_data(__package__, "flags.json"))


def convert(name, spec, text):
    if "choices" in spec and text not in spec["choices"]:
        raise FlagError(f"-{name}: {text!r} is not one of {', '.join(spec['choices'])}")
    try:
        return TYPES[spec["type"]](text)
    except ValueError as error:
        raise FlagError(f"-{name}: {text!r} {error}") from None


def parse(argv):
    """The flags as attributes, and the notes about those accepted without effect."""
    specs, given, problems, notes = known(), {}, [], []
    for word in argv:
        name, equals, text = word.removeprefix("-").partition("=")
        if not word.startswith("-") or name not in specs:
            problems.append(f"unknown flag {word!r}")
        elif not equals:
            problems.append(f"-{name} needs a value: -{name}=VALUE")
        elif name in given:
            problems.append(f"-{name} is given more than once")
        else:
            given[name] = text
            if text != specs[name].get("default") and specs[name].get("effect") == "refused":
                problems.append(f"-{name}={text} is not supported by the embedded scheduler")
            elif text != specs[name].get("default") and specs[name].get("effect") == "none":
                notes.append(f"-{name}={text} is accepted and has no effect in the embedded scheduler")
    values = {}
    for name, spec in specs.items():
        text = given.get(name, spec.get("default"))
        try:
            values[name] = convert(name, spec, text) if text is not None else None
        except FlagError as error:
            problems.append(str(error))
        if (spec.get("required") or name in NEEDED) and not given.get(name):
            problems.append(f"a value for the -{name} flag must be supplied")
    if problems:
        raise FlagError("\n".join(problems))
    return SimpleNamespace(**values, given=given), notes


def usage(out=sys.stdout):
    print("Usage: aurora-scheduler -flag=value …  (* required)", file=out)
    for name, spec in sorted(known().items()):
        star = "*" if spec.get("required") or name in NEEDED else " "
        default = f" (default: {spec['default']})" if "default" in spec else ""
        print(f"  {star} -{name}  {spec['type']}{default}", file=out)
