# SPDX-License-Identifier: GPL-3.0-or-later
"""Who sent a request: the signature over its parameters, and the time until which it is good."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from urllib.parse import quote

from .cloud import ApiError, User

REFUSED = "unable to verify user credentials and/or request signature"


def sign(params: dict[str, str], secret: str, tilde: str = "~") -> str:
    """Sign as the API guide says. `tilde` is how the sign is written, about which encoders differ."""
    pairs = sorted(
        (name.lower(), quote(value, safe="*").replace("~", tilde).lower())
        for name, value in params.items()
        if name.lower() != "signature"
    )
    text = "&".join(f"{name}={value}" for name, value in pairs)
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def check_time(params: dict[str, str], hardened: bool) -> None:
    if params.get("signatureversion") != "3":
        if hardened:
            raise ApiError(401, REFUSED)
        return
    try:
        until = datetime.datetime.strptime(params.get("expires", ""), "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise ApiError(401, REFUSED) from None
    left = (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    if left < 0 or (hardened and left > 15 * 60):
        raise ApiError(401, REFUSED)


def authenticate(params: dict[str, str], users: dict[str, User], hardened: bool) -> User:
    """Return the user, or answer as the API does: one text for whatever was wrong. Names are in small letters here."""
    user = users.get(params.get("apikey", ""))
    given = params.get("signature", "")
    if user is None or given not in (sign(params, user.secret), sign(params, user.secret, "%7E")):
        raise ApiError(401, REFUSED)
    check_time(params, hardened)
    return user
