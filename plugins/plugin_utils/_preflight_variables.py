# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory sets for the roles, held against what the roles say they take."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import hashlib
import os
import re
import urllib.parse
from dataclasses import dataclass, field

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible_collections.aurora.cluster.plugins.plugin_utils._preflight_inventory import Unresolved, cluster_hosts

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHA256 = re.compile(r"sha256:[0-9a-fA-F]{64}")
# Its variables are what the other roles hand to it, and its name is one that users' own variables begin with.
SHARED_ROLE = "common"
EXACT_TYPES = {
    "bool": (bool, "true or false"),
    "dict": (dict, "a dictionary"),
    "list": ((list, tuple), "a list"),
}


@dataclass
class Role:
    name: str
    options: dict = field(default_factory=dict)  # of all its entry points
    main: dict = field(default_factory=dict)  # of the entry point main
    documented: set = field(default_factory=set)  # names in its README, which also tells what it reads of each machine
    defaults: dict = field(default_factory=dict)  # those that need no templating
    # Of each daemon, by the name its variables begin with: the flags it knows, and the variables that set one.
    flags: dict = field(default_factory=dict)
    typed: dict = field(default_factory=dict)


def _read(*parts):
    path = os.path.join(*parts)
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def _load(*parts):
    path = os.path.join(*parts)
    return (DataLoader().load_from_file(path) or {}) if os.path.exists(path) else {}


def load_roles(collection=COLLECTION):
    """Return the roles of a collection by name, read from their specs, defaults and lists of flags."""
    directory = os.path.join(collection, "roles")
    roles = {}
    for name in sorted(os.listdir(directory)):
        entries = _load(directory, name, "meta", "argument_specs.yml").get("argument_specs", {})
        specs = {entry: spec.get("options") or {} for entry, spec in entries.items()}
        defaults = _load(directory, name, "defaults", "main.yml")
        roles[name] = Role(
            name=name,
            options={option: detail for options in specs.values() for option, detail in options.items()},
            main=specs.get("main", {}),
            documented=set(re.findall(rf"\b{name}_\w+", _read(directory, name, "README.md"))),
            defaults={key: value for key, value in defaults.items() if "{{" not in str(value)},
            flags={
                key.removeprefix("__").removesuffix("_flags"): set(flags)
                for key, flags in _load(directory, name, "vars", "flags.yml").items()
            },
            typed=typed_flags(name, _load(directory, name, "vars", "main.yml")),
        )
    return roles


def typed_flags(role, internals):
    """Return, for each daemon of a role, which of the role's variables sets which flag."""
    typed = {}
    for key, settings in internals.items():
        if key == f"__{role}_settings" or key.endswith("_typed_flags"):
            daemon = key.removeprefix("__").removesuffix("_typed_flags").removesuffix("_settings")
            variables = {flag: re.findall(rf"\b{role}_\w+", str(value)) for flag, value in settings.items()}
            typed[daemon] = {flag: names[0] for flag, names in variables.items() if names}
    return typed


def role_of(variable, roles):
    """Return the role whose name a variable begins with; of several the longest."""
    owners = [role for role in roles if variable.startswith(f"{role}_")]
    return roles[max(owners, key=len)] if owners else None


def did_you_mean(word, known, prefix=""):
    """Return a question for the nearest of the known words, all of which begin with the prefix."""
    words = {name.removeprefix(prefix): name for name in sorted(known)}
    close = difflib.get_close_matches(word.removeprefix(prefix), words, n=1)
    return f": did you mean {words[close[0]]}?" if close else ""


def type_errors(variable, value, option):
    """Return what a role's own spec finds wrong with a value.

    A spec also takes text that can be made into a dictionary, list or boolean, but the role would get the text.
    """
    exact = EXACT_TYPES.get(option.get("type"))
    if exact and value is not None and not isinstance(value, exact[0]):
        return [f"must be {exact[1]}, not the {type(value).__name__} {value!r}"]
    spec = {variable: {**option, "required": False}}
    errors = ArgumentSpecValidator(spec).validate({variable: value}).error_messages
    if errors and option.get("no_log"):
        return ["its value does not fit (not shown, it is secret)"]
    return errors


def check_variables(hosts, groups, roles, problems):
    """Variables that no role takes, values of the wrong type, required values that are missing."""
    for host in cluster_hosts(groups):
        for variable, value in hosts[host].items():
            role = role_of(variable, roles)
            if role is None or not role.options:
                continue
            if variable not in role.options:
                if role.name != SHARED_ROLE and variable not in role.documented:
                    hint = (
                        did_you_mean(variable, role.options, f"{role.name}_")
                        or f": see roles/{role.name}/README.md for those it takes"
                    )
                    problems.add(f"{variable} is not a variable of the role {role.name}{hint}", host)
            elif not isinstance(value, Unresolved):
                for error in type_errors(variable, value, role.options[variable]):
                    problems.add(f"{variable}: {error}", host)
        for role in roles.values():
            if host not in groups.get(role.name, []):
                continue
            for variable, option in role.main.items():
                if option.get("required") and variable not in hosts[host]:
                    problems.add(f"{variable} is required by the role {role.name} and not set", host)


def check_flags(hosts, groups, roles, problems):
    """The flags in <role>_options: known to the daemon, well formed, and not those that have a variable of their own."""
    for role in roles.values():
        for host in groups.get(role.name, []):
            for name, options in hosts[host].items():
                daemon = name.removesuffix("_options")
                if name not in role.options or daemon not in role.typed or not isinstance(options, dict):
                    continue
                extra = hosts[host].get(f"{daemon}_extra_flags")
                for flag, value in options.items():
                    if not (isinstance(extra, list) and flag in extra):
                        for text in flag_problems(role, daemon, str(flag)):
                            problems.add(f"{name}: {text}", host)
                    if value is None or isinstance(value, (list, dict)) or "\n" in str(value):
                        # Not shown, because it may be credentials.
                        kind = "several" if isinstance(value, str) else value and f"a {type(value).__name__}"
                        problems.add(
                            f"{name}: the value of {flag!r} must be one line of text, a number or a boolean, not {kind}",
                            host,
                        )


def flag_problems(role, daemon, flag):
    typed = role.typed[daemon].get(flag, f"{daemon}_{flag}")
    if typed in role.options:
        yield f"{flag!r} has a variable of its own: set {typed} instead"
        return
    known = role.flags.get(daemon)
    if known is None or flag in known:
        return
    bare = re.sub(r"^(no-|no_)", "", flag.split("=")[0].lstrip("-")).lower().replace("-", "_").removeprefix("mesos_")
    if bare in known:
        value = ": false" if flag.lstrip("-").startswith("no-") else ""
        yield f"{flag!r} is not the bare name of a flag: write {bare}{value}"
    else:
        yield (
            f"{flag!r} is not a flag of the daemon{did_you_mean(flag, known)} "
            f"(a flag of another version goes into {daemon}_extra_flags too)"
        )


@functools.cache
def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def check_sources(hosts, groups, roles, problems):
    """Packages and archives: named in full, and where they are on the controller, there and as they should be."""
    for role in roles.values():
        for host in groups.get(role.name, []):
            for variable in role.options:
                if variable.endswith("_install_method"):
                    for text in source_problems(role, hosts[host], variable.removesuffix("_install_method")):
                        problems.add(text, host)


def source_problems(role, variables, prefix):
    """Yield what is wrong with one of a role's sources, whose variables begin with the prefix."""

    def effective(name):
        return variables.get(f"{prefix}_{name}", role.defaults.get(f"{prefix}_{name}"))

    method = effective("install_method")
    if method == "package":
        yield from package_problems(effective, prefix)
    elif method == "archive":
        url, checksum = effective("archive_url"), effective("archive_checksum")
        yield from file_problems(f"{prefix}_archive_url", url, f"{prefix}_archive_checksum", checksum)


def package_problems(effective, prefix):
    name = f"{prefix}_package_source"
    source = effective("package_source")
    if not isinstance(source, dict) or not source:
        return
    kinds = [kind for kind in ("url", "directory", "deb") if source.get(kind)]
    if len(kinds) != 1:
        yield f"{name} names {' and '.join(kinds) or 'no source'}: give it one of url, directory or deb"
    elif "directory" in kinds:
        version = effective("package_version")
        yield from directory_problems(
            f"{name}.directory",
            source["directory"],
            effective("package_name"),
            version if isinstance(version, str) and version else "*",
            prefix,
        )
    elif "deb" in kinds:
        yield from file_problems(f"{name}.deb", source["deb"], f"{name}.checksum", source.get("checksum"))


def directory_problems(variable, directory, package, version, prefix):
    path = os.path.expanduser(str(directory))
    if not os.path.isabs(path):
        yield f"{variable} is {directory}: write the whole path, for example with {{{{ inventory_dir }}}}"
        return
    if not os.path.isdir(path):
        yield f"{variable} is {path}, which is not a directory on this computer: make it, or set it to where the packages are"
        return
    if not isinstance(package, str):
        return
    packages = [urllib.parse.unquote(file).split("_") for file in os.listdir(path) if file.endswith(".deb")]
    versions = sorted(parts[1] for parts in packages if parts[0] == package and len(parts) == 3)
    if not versions:
        there = ", ".join(sorted({parts[0] for parts in packages})) or "no package"
        yield f"{variable} is {path}, which holds {there} but not {package}: put it there, or set {prefix}_package_name"
    elif not any(fnmatch.fnmatchcase(held, version) for held in versions):
        yield (
            f"{variable} is {path}, which holds {package} {', '.join(versions)} but not {version}: "
            f"put it there, or set {prefix}_package_version"
        )


def file_problems(variable, place, checksum_variable, checksum):
    """Yield what is wrong with one file, a path on the controller or a URL, and its checksum."""
    if isinstance(place, Unresolved) or isinstance(checksum, Unresolved):
        return
    if not place:
        yield f"{variable} is not set: set it to a path on this computer or a URL"
        return
    if not checksum:
        yield f"{checksum_variable} is not set: set it to sha256: and the checksum of {place}"
        return
    if not SHA256.fullmatch(str(checksum)):
        yield f"{checksum_variable} is {checksum}: write it as sha256: and 64 hexadecimal digits"
        return
    if "://" in str(place):
        return
    path = os.path.expanduser(str(place))
    if not os.path.isabs(path):
        yield f"{variable} is {place}: write the whole path, for example with {{{{ inventory_dir }}}}"
    elif not os.path.isfile(path):
        yield f"{variable} is {path}, which is not a file on this computer: put it there, or set it to where it is"
    elif sha256(path) != str(checksum).lower():
        yield (
            f"{checksum_variable} does not match: {path} has {sha256(path)}, not {checksum}: "
            "fetch the file again, or correct the checksum if the file is the right one"
        )


def check_role_variables(hosts, groups, roles, problems):
    check_variables(hosts, groups, roles, problems)
    check_flags(hosts, groups, roles, problems)
    check_sources(hosts, groups, roles, problems)
