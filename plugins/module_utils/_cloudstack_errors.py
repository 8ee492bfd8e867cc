# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What went wrong with a CloudStack cloud, in one sentence that says what to do about it."""

from __future__ import annotations

import difflib
import html
import re
from email.utils import parsedate_to_datetime
from urllib.parse import quote

# Servers refuse a request whose expiry, ten minutes ahead, has passed or lies more than 15 minutes ahead.
CLOCK_SKEW = 240


class CloudStackError(Exception):
    """`command` failed; `text` is what the server (or the network) said, `remedy` what the user can do.

    `code` is the API's error code, or the HTTP status where the API did not speak. `outcome_unknown` says that
    the server may have carried the command out all the same.
    """

    def __init__(self, command, text, remedy="", code=None, retry_after=None, passing=False, outcome_unknown=False):
        self.command = command
        self.text = " ".join(str(text).split()).rstrip(".")
        self.remedy = remedy
        self.code = code
        self.retry_after = retry_after
        self.passing = passing
        self.outcome_unknown = outcome_unknown
        super().__init__(command, text)

    def __str__(self):
        said = f"{self.text} ({self.code})" if self.code else self.text
        failed = f"CloudStack {self.command} failed: {said}." if self.command else f"{said[:1].upper()}{said[1:]}."
        return f"{failed} {self.remedy}".rstrip()


def scrub(text, secrets):
    """`text` without any of `secrets`, whichever way they were encoded, and without signatures."""
    text = str(text)
    for secret in secrets:
        if not secret or len(secret) < 4:
            continue
        for form in (secret, quote(secret, safe=""), quote(secret, safe="*"), html.escape(secret), secret.lower()):
            text = text.replace(form, "********")
    text = re.sub(r"(?i)\b(secretkey|password)(=|%3D)[^&\s\"'<>]+", r"\1\2********", text)
    return re.sub(r"(?i)\b(signature|apikey)([\"']?\s*[=:]\s*[\"']?|%3D)[^&\s\"'<>,}]+", r"\1\2********", text)


def near(wanted, known, limit=5):
    """The names of `known` that look like `wanted`, or else the first ones there are."""
    names = sorted({str(name) for name in known if name not in (None, "")})
    folded = {name.casefold(): name for name in names}
    close = [folded[match] for match in difflib.get_close_matches(str(wanted).casefold(), folded, n=limit, cutoff=0.5)]
    inside = [name for name in names if str(wanted).casefold() in name.casefold() and name not in close]
    if close or inside:
        return "Near matches: " + ", ".join((close + inside)[:limit]) + "."
    if not names:
        return "There are none."
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return "There are: " + ", ".join(names[:limit]) + more + "."


def find_one(kind, wanted, rows, names=("name",), command=None):
    """The row of `rows` whose id, or else one of whose `names`, is `wanted`; an error if it is none or several."""
    wanted = str(wanted)
    found = {str(row.get("id")): row for row in rows if str(row.get("id")) == wanted}
    for name in names:
        found = found or {str(row.get("id")): row for row in rows if str(row.get(name)) == wanted}
    if not found:
        # Exact spelling first, so that names that differ only in case can be told apart.
        for name in names:
            found = found or {
                str(row.get("id")): row for row in rows if str(row.get(name, "")).casefold() == wanted.casefold()
            }
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        ids = ", ".join(sorted(found))
        raise CloudStackError(command, f"the {kind} {wanted!r} is ambiguous", f"Give one of the ids: {ids}.")
    known = [row.get(name) for row in rows for name in names]
    raise CloudStackError(command, f"there is no {kind} {wanted!r} that this key can see", near(wanted, known))


def _remedy(code, text, settings, skew):
    origin = settings.origin("key")
    if code == 401:
        if skew is not None and abs(skew) > CLOCK_SKEW:
            way = "ahead of" if skew > 0 else "behind"
            return f"This machine's clock is {abs(skew):.0f} s {way} the server's, and signed requests expire: set it right."
        return f"Check the key (from {origin}) and its secret, and that the account may use this command."
    if code == 403:
        return (
            "The endpoint takes no such requests any more, or not from here. Exoscale closed its CloudStack API on"
            f" 1 May 2024. Check with the provider whether {settings.endpoint} is still its CloudStack API."
        )
    if code in (404, 405):
        return f"Check the endpoint {settings.endpoint}; its path is usually /client/api."
    if code == 411:
        return "The account demands a second factor: use the key of an account for programs."
    if code == 429:
        return "Run fewer programs with this account at once, or ask the provider to raise api.throttling.max."
    if code == 432:
        return "The cloud does not offer this command to the account."
    if code == 531:
        return "The account lacks the permission: ask its domain's administrator."
    if code == 532:
        return "The account's limit is reached: remove something or ask for a higher limit."
    if code == 533:
        return "The cloud has no room for it now: try later, another zone or a smaller offering."
    if code == 530:
        return "The cause is in the management server's log: give the provider the command and the time."
    return ""


def _told_to_wait(text, headers):
    """Seconds to wait after a refusal: what the text or the header says, else one second."""
    told = re.search(r"retry after\D{0,10}(\d+)\W{0,5}(ms|milli|s\b|sec)?", text, re.IGNORECASE)
    if told:
        return int(told.group(1)) / (1 if (told.group(2) or "ms").startswith("s") else 1000)
    header = headers.get("Retry-After", "")
    return float(header) if header.isdigit() else 1.0


def _skew(headers, now):
    """How many seconds the local clock is ahead of the server's, None if it does not say."""
    try:
        return now - parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (TypeError, ValueError):
        return None


def from_answer(command, status, headers, error, settings, now):
    """The error of an answer in which the API itself spoke, `error` being its errorcode and errortext."""
    text = str(error.get("errortext") or error or "no reason given")
    code = error.get("errorcode") or status
    code = int(code) if str(code).isdigit() else status
    result = CloudStackError(command, text, _remedy(code, text, settings, _skew(headers, now)), code)
    if code == 429 or status == 429:
        result.retry_after = _told_to_wait(text, headers)
    elif status in (502, 503, 504):
        result.passing = result.outcome_unknown = True
    return result


def from_page(command, status, headers, body, settings):
    """The error of an answer that is not the API's: a proxy's page, a login page, a broken document."""
    kind = headers.get("Content-Type", "no content type").split(";")[0]
    title = re.search(r"<title[^>]*>(.*?)</title>", body, re.IGNORECASE | re.DOTALL)
    said = html.unescape(title.group(1)) if title else re.sub(r"<[^>]*>", " ", body)[:160]
    said = " ".join(said.split()) or "nothing"
    text = f"{settings.endpoint} answered {kind} with status {status} and not the API's JSON, saying {said!r}"
    if status == 407:
        remedy = "The proxy wants a user and a password: put them into HTTPS_PROXY."
    elif status in (502, 503, 504):
        remedy = "A proxy or load balancer answered for the cloud, which is down or busy: try again later."
    elif status == 429:
        remedy = _remedy(429, "", settings, None)
    elif status in (401, 403):
        remedy = "A proxy or gateway in between refused the request: check HTTPS_PROXY and NO_PROXY."
    else:
        remedy = "Check the endpoint (its path is usually /client/api), and HTTPS_PROXY and NO_PROXY."
    passing = status in (500, 502, 503, 504)
    result = CloudStackError(command, text, remedy, passing=passing, outcome_unknown=passing)
    if status == 429:
        result.retry_after = _told_to_wait(body, headers)
    return result
