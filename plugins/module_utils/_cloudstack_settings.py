# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a cloud is reached: each setting from the options, else CLOUDSTACK_* variables, else a cloudstack.ini section."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
from urllib.parse import urlsplit

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError, near, scrub

DEFAULT_REGION = "cloudstack"


def _number(low):
    def convert(text):
        number = float(text)
        if not low <= number < float("inf"):
            raise ValueError(f"it has to be at least {low:g}")
        return number

    return convert


def _boolean(text):
    word = str(text).strip().lower()
    if word in ("1", "yes", "true", "on", "y", "t"):
        return True
    if word in ("0", "no", "false", "off", "n", "f"):
        return False
    raise ValueError("it has to be true or false")


def _method(text):
    if str(text).lower() not in ("get", "post"):
        raise ValueError("it has to be get or post")
    return str(text).lower()


def _endpoint(text):
    text = str(text).strip()
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it has to be a URL such as https://cloud.example.org/client/api")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it has to be a URL without user, password, query and fragment")
    return text


def _file(text):
    path = os.path.expanduser(str(text))
    if str(text).strip().lower() in ("true", "false", "yes", "no", "0", "1"):
        raise ValueError(
            "it has to be a file of CA certificates; checks are turned off by dangerous_no_tls_verify only"
        )
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}")
    return path


# option: (name in CLOUDSTACK_* and in the ini section, conversion, default)
SETTINGS = {
    "endpoint": ("endpoint", _endpoint, None),
    "key": ("key", str, None),
    "secret": ("secret", str, None),
    "timeout": ("timeout", _number(1), 10.0),
    "method": ("method", _method, "post"),
    "ca_file": ("verify", _file, None),
    "dangerous_no_tls_verify": ("dangerous_no_tls_verify", _boolean, False),
    "cert": ("cert", _file, None),
    "cert_key": ("cert_key", _file, None),
    "poll_interval": ("poll_interval", _number(0.01), 2.0),
}


# The options of the documentation fragment, as a module declares them.
ARGUMENT_SPEC = {
    "endpoint": {"type": "str"},
    "key": {"type": "str", "no_log": True},
    "secret": {"type": "str", "no_log": True},
    "config": {"type": "path"},
    "region": {"type": "str"},
    "timeout": {"type": "float"},
    "method": {"type": "str"},
    "ca_file": {"type": "path"},
    "dangerous_no_tls_verify": {"type": "bool"},
}


class Settings:
    """The settings of one cloud and where each came from. Neither key nor secret shows up when it is printed."""

    def __init__(self, values, origins):
        self._origins = origins
        for name, value in values.items():
            setattr(self, name, value)

    def origin(self, name):
        return self._origins.get(name, "the default")

    @property
    def secrets(self):
        return [self.secret, self.key]

    @property
    def identity(self):
        """A short word that differs for another endpoint or account, and does not tell the key."""
        return hashlib.sha256(f"{self.endpoint}\n{self.key}".encode()).hexdigest()[:16]

    def __repr__(self):
        return f"<CloudStack at {self.endpoint}>"


def _ini_section(options, environ):
    """The section of the ini files that is asked for, and a name for it in messages."""
    region = options.get("region") or environ.get("CLOUDSTACK_REGION")
    named = options.get("config") or environ.get("CLOUDSTACK_CONFIG")
    paths = [os.path.expanduser("~/.cloudstack.ini"), os.path.join(os.getcwd(), "cloudstack.ini")]
    if named:
        named = os.path.expanduser(str(named))
        if not os.path.isfile(named):
            raise CloudStackError(None, f"there is no file {named}", "Check `config` or CLOUDSTACK_CONFIG.")
        paths = [named]
    # A percent sign in a secret is a percent sign.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        read = parser.read(paths, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError) as exc:
        where = getattr(exc, "source", None) or getattr(exc, "filename", None) or " or ".join(paths)
        # The exception's own text quotes lines, and a line may hold the secret.
        raise CloudStackError(None, f"{where} cannot be read: {type(exc).__name__}", "Repair the ini file.") from None
    section = str(region or DEFAULT_REGION)
    if parser.has_section(section):
        return dict(parser.items(section)), f"[{section}] of {' and '.join(read)}"
    if region:
        known = near(section, parser.sections()) if read else f"None of {', '.join(paths)} exists."
        raise CloudStackError(None, f"there is no section [{section}] for the region {section!r}", known)
    return {}, ""


def resolve(options, environ=None):
    """Settings from `options` (what is None there counts as not given), the environment and the ini files."""
    environ = os.environ if environ is None else environ
    ini, section = _ini_section(options, environ)
    values, origins = {}, {}
    for option, (name, convert, default) in SETTINGS.items():
        variable = f"CLOUDSTACK_{name.upper()}"
        given = [
            (options.get(option), f"option `{option}`"),
            (environ.get(variable), variable),
            (ini.get(name), f"`{name}` in {section}"),
        ]
        value, origin = next(((v, o) for v, o in given if v not in (None, "")), (default, "the default"))
        try:
            values[option] = default if origin == "the default" else convert(value)
        except ValueError as exc:
            shown = scrub(re.sub("//[^/]*@", "//********@", str(value)), [])
            # What float() says is no help to anybody.
            why = exc if "has to be" in str(exc) or "no file" in str(exc) else "it has to be a number"
            raise CloudStackError(
                None,
                f"the value {shown!r} of {origin} cannot be used",
                f"I{str(why)[1:]}." if str(why).startswith("it") else f"T{str(why)[1:]}.",
            ) from None
        origins[option] = origin
    missing = [option for option in ("endpoint", "key", "secret") if not values[option]]
    if missing:
        raise CloudStackError(
            None,
            "the CloudStack connection lacks " + " and ".join(missing),
            "Give "
            + ", ".join(f"`{m}` or CLOUDSTACK_{m.upper()}" for m in missing)
            + f", or put it into {section or f'the section [{DEFAULT_REGION}] of ~/.cloudstack.ini or ./cloudstack.ini'}.",
        )
    if values["dangerous_no_tls_verify"] and values["ca_file"]:
        raise CloudStackError(
            None,
            f"{origins['dangerous_no_tls_verify']} turns certificate checks off and {origins['ca_file']} names a CA",
            "Take one of them away.",
        )
    return Settings(values, origins)
