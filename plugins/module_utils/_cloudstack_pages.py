# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All rows of a CloudStack listing, whatever the server makes of pages, counts and keys."""

from __future__ import annotations

import json
import re

from ansible_collections.aurora.cluster.plugins.module_utils._cloudstack_errors import CloudStackError

PAGE_SIZE = 500
# A listing during which machines come or go is read again, this often at most.
PASSES = 3


def payload(answer):
    """`answer` without the wrapper some commands put around the one thing they return."""
    inner = [value for key, value in answer.items() if key not in ("count", "jobid", "jobstatus")]
    if len(inner) == 1 and isinstance(inner[0], dict):
        return inner[0]
    return answer


def rows_of(command, answer):
    """The rows of one page: a list under whichever key, or the single object some servers send instead."""
    name = command[len("list") :].lower()
    for key in (name, name[:-1], re.sub("es$", "", name), re.sub("ies$", "y", name)):
        if key in answer:
            rows = answer[key]
            break
    else:
        found = [value for value in answer.values() if isinstance(value, list)]
        found = found or [value for value in answer.values() if isinstance(value, dict)]
        if len(found) > 1:
            keys = ", ".join(sorted(answer))
            raise CloudStackError(command, f"the answer has several lists and none is called {name[:-1]!r}: {keys}")
        rows = found[0] if found else []
    if isinstance(rows, dict):
        rows = [rows] if rows else []
    return rows if isinstance(rows, list) else []


def _identity(row):
    # A template is listed once for each zone it is in.
    if isinstance(row, dict) and row.get("id") not in (None, ""):
        return (str(row["id"]), str(row.get("zoneid")))
    return json.dumps(row, sort_keys=True, default=str)


def _count(answer):
    count = answer.get("count")
    return int(count) if str(count).isdigit() else None


def _fits(command, fetch, size):
    """The first page and the page size the server agrees to."""
    while True:
        try:
            return fetch(page=1, pagesize=size), size
        except CloudStackError as error:
            if error.code != 431 or not re.search(r"page ?size", error.text, re.IGNORECASE) or size == 1:
                raise
            limit = re.search(r"(\d+)$", error.text)
            told = int(limit.group(1)) if limit else size
            size = told if 0 < told < size else size // 2


def _one_pass(command, fetch, size, rows):
    """Put the rows into `rows` by identity.

    The identities that were seen, whether the list stood still meanwhile, the number of requests and the right page size.
    """
    answer, size = _fits(command, fetch, size)
    counts = {_count(answer)}
    total = counts.copy().pop()
    seen, still, page = {}, True, 1
    while True:
        batch = rows_of(command, answer)
        fresh = {_identity(row): row for row in batch}
        known = seen.keys() & fresh.keys()
        seen.update(dict.fromkeys(fresh))
        rows.update(fresh)
        # A page without a new row is the end for servers that tell no count, or do not know pages at all.
        if not batch or len(known) == len(fresh):
            break
        still = still and not known
        if total is not None and len(seen) > total:
            # It counts the rows of the page and not those of the list.
            counts, total = {None}, None
        # A full page that claims to be all there is may come from such a server as well.
        if total is not None and len(seen) >= total and not (page == 1 and len(batch) == size):
            break
        page += 1
        try:
            answer = fetch(page=page, pagesize=size)
        except CloudStackError as error:
            error.text += f", after {len(seen)} rows"
            raise
        if total is not None and "count" in answer:
            total = _count(answer)
            counts.add(total)
    still = still and len(counts) == 1 and total in (None, len(seen))
    return seen, still, page, size


def collect(command, fetch, size, log):
    """All rows of `command`, and the page size the server agreed to; `fetch(page=, pagesize=)` gets one page.

    A row that vanishes moves the later ones forward, over the edge between two pages and out of sight. If another comes
    at the same time, neither count nor rows tell. So a listing of several pages is read until two passes agree; if it
    never stands still, the union of all passes is nearest to the truth.
    """
    rows, before = {}, None
    for attempt in range(PASSES):
        seen, still, pages, size = _one_pass(command, fetch, size, rows)
        if still and (pages == 1 or seen.keys() == before):
            return [rows[identity] for identity in seen], size
        if not still or before is not None:
            log(f"{command}: the list changed while it was read for the {attempt + 1}. time of at most {PASSES}")
        before = seen.keys()
    return list(rows.values()), size
