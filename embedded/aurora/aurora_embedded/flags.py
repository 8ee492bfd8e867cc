# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's command line: -flag=value, each flag and its type listed in flags.json."""

import argparse
import json
import pkgutil
import re
import sys
from types import SimpleNamespace

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "secs": 1, "mins": 60, "hrs": 3600, "days": 86400, "weeks": 604800}
MEGABYTES = {"KB": 1 / 1024, "MB": 1, "GB": 1024, "TB": 1024**2}


class FlagError(Exception):
    """The command line cannot be used; the message says why, one problem a line."""


def amount(text, units, number=r"\d+"):
    number, unit = re.fullmatch(f"({number})([A-Za-z]+)", text).groups()
    return float(number) * units[unit]


def matching(pattern):
    return lambda text: re.fullmatch(pattern, text)[0]


# type -> (converter that fails on a malformed value, what the value must be)
TYPES = {
    "boolean": (lambda text: {"true": True, "false": False}[text], "true or false"),
    "data": (lambda text: amount(text, MEGABYTES), "a number with KB, MB, GB or TB and no space"),
    "duration": (lambda text: amount(text, SECONDS), "a number with ms, secs, mins, hrs or days and no space"),
    "float": (float, "a number"),
    "integer": (int, "an integer"),
    "list": (lambda text: [part for part in text.split(",") if part], ""),
    "path": (matching(r"(/[^/\s]+)+"), "an absolute path without a / at its end"),
    "regex": (re.compile, "a regular expression"),
    "servers": (matching(r"[^\s:/,]+:\d{1,5}(,[^\s:/,]+:\d{1,5})*"), "a list host:port,host:port"),
    "string": (str, ""),
}


def known():
    return json.loads(pkgutil.get_data(__package__, "flags.json"))


def parse(argv):
    """(the flags as attributes, notes about those accepted without effect). Raises FlagError."""
    specs, given, problems, notes, values = known(), {}, [], [], {}
    for word in argv:
        name, equals, text = word[1:].partition("=")
        if not word.startswith("-") or name not in specs:
            problems.append(f"unknown flag {word.partition('=')[0]}")
        elif not equals or name in given:
            problems.append(f"-{name} is given twice" if equals else f"-{name} needs a value: -{name}=VALUE")
        else:
            given[name] = text
    for name, spec in specs.items():
        text, (convert, meaning) = given.get(name, spec.get("default")), TYPES[spec["type"]]
        if spec.get("required") and not text:
            problems.append(f"a value for the -{name} flag must be supplied")
        elif text not in spec.get("choices", [text]):
            problems.append(f"-{name}={text}: must be one of {', '.join(spec['choices'])}")
        elif text != spec.get("default") and spec.get("effect") == "refused":
            problems.append(f"-{name}={text} is not supported by the embedded scheduler")
        elif text != spec.get("default") and spec.get("effect") == "none":
            notes.append(f"-{name}={text} has no effect in the embedded scheduler")
        try:
            values[name] = None if text is None else convert(text)
        except (ValueError, KeyError, AttributeError, TypeError, re.error):
            problems.append(f"-{name}={text}: must be {meaning}")
    if problems:
        raise FlagError("\n".join(problems))
    return SimpleNamespace(given=given, **values), notes


class Unused(argparse.Action):
    """A flag that other programs of this name have: said, so that nobody waits for its effect."""

    def __call__(self, parser, _namespace, value, option=None):
        print(f"{parser.prog}: {option} has no effect in the embedded default", file=sys.stderr)


def accept(parser, names):
    for name in names.split():
        parser.add_argument(f"--{name}", nargs="?", action=Unused, help="no effect")


def usage():
    for name, spec in sorted(known().items()):
        default = f" (default: {spec['default']})" if "default" in spec else ""
        print(f"{'*' if spec.get('required') else ' '} -{name}={spec['type'].upper()}{default}")
