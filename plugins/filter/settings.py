# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How settings are written for Mesos and Aurora daemons."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

# A secret's name up to what stands before its value, in JSON also "key": "password", and the user and password of a URL.
SECRET = re.compile(r"(?:credential|password|secret)[\w.-]*\\*[\"']?\s*[=:,]|://[^/]*@", re.IGNORECASE)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _pairs(value: object, filter_name: str) -> list[tuple[str, object]]:
    if not isinstance(value, Mapping):
        raise AnsibleFilterError(f"{filter_name} needs a dictionary of name to value, got {value!r}.")
    return sorted((str(name), item) for name, item in value.items())


def mesos_environment(flags: Mapping[str, object]) -> dict[str, str]:
    """Turn flags into the environment variables Mesos reads them from: {'work_dir': …} into {'MESOS_WORK_DIR': …}.

    A flag whose value is empty is left out, so that the daemon's own default holds.
    """
    pairs = _pairs(flags, "mesos_environment")
    return {f"MESOS_{name.upper()}": _text(value) for name, value in pairs if value != ""}


def mesos_pairs(value: Mapping[str, object]) -> str:
    """Turn a dictionary into the form of --attributes and --resources: 'cpus:4;mem:1024'."""
    return ";".join(f"{name}:{_text(item)}" for name, item in _pairs(value, "mesos_pairs"))


def command_flags(flags: Mapping[str, object], prefix: str = "--") -> str:
    """Turn flags into the value of a variable that a unit's command names: '--port=1338 --mesos-root=/var/lib/mesos'.

    systemd takes $VARIABLE apart and takes off quotes as a shell does, but backslashes within single quotes too.
    """
    words = (f"{prefix}{name}={_text(value)}" for name, value in _pairs(flags, "command_flags"))
    return " ".join(shlex.quote(word).replace("\\", "\\\\") for word in words)


def holds_secret(environment: Mapping[str, object]) -> bool:
    """Tell whether there is a secret among a daemon's settings, so that a task can keep them to itself.

    That is a name with credential, password or secret in it, of a variable, flag or key in JSON, or a URL with a user.
    """
    return any(SECRET.search(f"{name}={_text(value)}") for name, value in _pairs(environment, "holds_secret"))


class FilterModule:
    def filters(self) -> dict[str, object]:
        return {
            "mesos_environment": mesos_environment,
            "mesos_pairs": mesos_pairs,
            "command_flags": command_flags,
            "holds_secret": holds_secret,
        }
