# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading, locking and replacing a small configuration file that other programs read at any moment."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError

LOCK_SECONDS = 60
# How often a file that others change while it is being replaced is read anew.
ATTEMPTS = 3
# What rename() says when a directory entry cannot be replaced although the file itself can be written.
CANNOT_RENAME = (errno.EBUSY, errno.EXDEV)
# What creating a file beside it says then.
CANNOT_CREATE = (errno.EROFS, errno.EACCES, errno.EPERM)


class ChangedError(HostsError):
    """The file no longer holds what it is to be changed from."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} was changed by another program meanwhile. That change stands: run this again")


def resolve(path: str, follow: bool) -> str:
    """Return the absolute path of the regular file to edit, or raise HostsError."""
    path = os.path.abspath(path)
    if os.path.islink(path):
        target = os.path.realpath(path)
        if not follow:
            raise HostsError(f"{path} is a symbolic link to {target}; set follow to edit the file it points to")
        if not os.path.exists(target):
            raise HostsError(f"{path} is a symbolic link to {target}, which does not exist")
        path = target
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise HostsError(f"{path} is not a regular file")
    if not os.path.isdir(os.path.dirname(path)):
        raise HostsError(f"{path} cannot be created, its directory does not exist")
    return path


def read(path: str) -> bytes | None:
    """Return the bytes of a file, None when there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def update(
    module: AnsibleModule,
    path: str,
    make_plan: Callable[[bytes | None], Any],
    validate: str | None = None,
    backup: bool = False,
) -> tuple[bytes | None, Any, dict]:
    """Give the file at path the content of make_plan(what it holds, None where there is none).

    Returns (what it held, the plan, what replace() returned; empty where nothing had to be written). The lock keeps out
    other runs of ours. Where a program that knows nothing of it changes the file meanwhile, the file is read and
    planned anew, in the end ChangedError is raised.
    """
    with locked(path):
        attempts = ATTEMPTS
        while True:
            old = read(path)
            plan = make_plan(old)
            if plan.content == (old or b""):
                return old, plan, {}
            try:
                return old, plan, replace(module, path, old, plan.content, validate, backup)
            except ChangedError:
                attempts -= 1
                if not attempts:
                    raise


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold an exclusive lock for the file at path, or raise HostsError when others hold it for too long.

    The lock is on a file of its own beside it, because a lock on the file itself would be left behind by the rename.
    It is removed after use; whoever waited for it sees that and starts again. The file itself is locked too: it may be
    known by another path, and another user cannot open the lock. Where nothing can be created beside the file, no
    rename can happen either, so that lock alone will do.
    """
    directory, name = os.path.split(path)
    lock_path = os.path.join(directory, f".{name}.aurora-cluster.lock")
    with contextlib.ExitStack() as held:
        try:
            fd = _acquire(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as exc:
            if exc.errno not in CANNOT_CREATE or not os.path.exists(path):
                raise
            held.callback(os.close, _acquire(path, os.O_RDONLY | os.O_CLOEXEC))
        else:
            held.callback(os.close, fd)
            held.callback(os.unlink, lock_path)
            # There may be no file yet, and network file systems lock only what is open for writing.
            with contextlib.suppress(OSError):
                held.callback(os.close, _acquire(path, os.O_RDONLY | os.O_CLOEXEC))
        yield


def _acquire(lock_path: str, flags: int) -> int:
    """Return a descriptor of the file at lock_path, opened with flags and locked."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        fd = os.open(lock_path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file_at(fd, lock_path):
                return fd
        except BlockingIOError:
            pass
        except OSError:
            os.close(fd)
            raise
        os.close(fd)
        if time.monotonic() > deadline:
            raise HostsError(f"{lock_path} has been locked by another run for {LOCK_SECONDS} seconds")
        time.sleep(0.05)


def _is_file_at(fd: int, path: str) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def replace(
    module: AnsibleModule,
    path: str,
    old: bytes | None,
    content: bytes,
    validate: str | None = None,
    backup: bool = False,
) -> dict:
    """Make content the bytes of the file at path: by rename, in place only where a rename is impossible.

    Returns {atomic} and, with backup and a file to copy, {backup_file}. Raises ChangedError where the file no longer
    holds old (None: there was no file), and leaves it alone then.
    """
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        beside = True
    except OSError as exc:
        if old is None or exc.errno not in CANNOT_CREATE:
            raise
        fd, temporary = tempfile.mkstemp(dir=module.tmpdir)
        beside = False
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            if beside:
                _set_owner(fd, path, creating=old is None)
            os.fsync(fd)
        _validate(module, validate, temporary)
        with _kept_copy(module, path, old, backup) as result:
            if read(path) != old:
                raise ChangedError(path)
            result["atomic"] = beside and _rename(module, temporary, path)
            if not result["atomic"]:
                write_in_place(path, old, content)
            if read(path) != content:
                raise HostsError(f"{path} does not hold what was written to it, something else writes it too")
        return result
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _set_owner(fd: int, path: str, creating: bool) -> None:
    """Give the file that is to stand at path the owner of the one that is there, a new one its mode.

    atomic_move() copies owner, mode and attributes, but leaves them all out where it may not change the owner.
    """
    if creating:
        os.fchmod(fd, 0o644)
        return
    try:
        there = os.stat(path)
    except FileNotFoundError:
        raise ChangedError(path) from None
    here = os.fstat(fd)
    if (here.st_uid, here.st_gid) != (there.st_uid, there.st_gid):
        try:
            os.fchown(fd, there.st_uid, there.st_gid)
        except PermissionError:
            raise HostsError(
                f"this user cannot replace {path} and keep its owner and group; set become: true"
            ) from None


@contextlib.contextmanager
def _kept_copy(module: AnsibleModule, path: str, old: bytes | None, backup: bool) -> Iterator[dict]:
    """Keep a copy of the file, {backup_file}, unless what is done meanwhile fails and leaves the file as it was."""
    if not backup or old is None:
        yield {}
        return
    try:
        copy = module.backup_local(path)
    except Exception as exc:
        raise HostsError(f"cannot back up {path}: {list(_chain(exc))[-1]}") from exc
    if not copy:
        raise ChangedError(path)
    try:
        yield {"backup_file": copy}
    except Exception as exc:
        if not isinstance(exc, ChangedError) and read(path) != old:
            raise HostsError(f"{exc}; a copy of the old file is {copy}") from exc
        os.unlink(copy)
        raise


def _validate(module: AnsibleModule, validate: str | None, temporary: str) -> None:
    if not validate:
        return
    if "%s" not in validate:
        raise HostsError(f"validate must contain %s, which stands for the file to check: {validate}")
    rc, out, err = module.run_command(validate.replace("%s", temporary))
    if rc != 0:
        raise HostsError(f"validate failed with exit status {rc}: {(err or out).strip()}")


def _rename(module: AnsibleModule, temporary: str, path: str) -> bool:
    """Return False where the file cannot be renamed over, or raise HostsError."""
    # A new file gets the mode the umask leaves, whatever it had before.
    umask = os.umask(0o022)
    try:
        module.atomic_move(temporary, path)
    except Exception as exc:
        reasons = list(_chain(exc))
        if any(isinstance(reason, OSError) and reason.errno in CANNOT_RENAME for reason in reasons):
            return False
        raise HostsError(f"cannot replace {path}: {reasons[-1]}") from exc
    finally:
        os.umask(umask)
    _sync_directory(os.path.dirname(path))
    return True


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it was raised from."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _sync_directory(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_in_place(path: str, old: bytes, content: bytes) -> None:
    """Overwrite a file that holds old and cannot be renamed over; on an error the old bytes are put back.

    The lines both begin with are not written at all. The rest is one write, and the file is never truncated first: a
    shorter content is written with newlines behind it, and then the file is cut. A kill between system calls leaves the
    old lines or the new ones, a kill in the midst of the write may leave a mixture of both below the common lines.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if _read_all(fd, size) != old:
            raise ChangedError(path)
        common = min(len(old), len(content))
        start = next((index for index in range(common) if old[index] != content[index]), common)
        try:
            _overwrite(fd, content, start, size)
        except BaseException:
            _overwrite(fd, old, start, os.fstat(fd).st_size)
            raise
    finally:
        os.close(fd)


def _read_all(fd: int, size: int) -> bytes:
    parts, offset = [], 0
    while offset < size:
        part = os.pread(fd, size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _overwrite(fd: int, content: bytes, start: int, size: int) -> None:
    """Make content the bytes of a file of the given size that holds its first start bytes already."""
    padded = content + b"\n" * (size - len(content))
    offset = start
    while offset < len(padded):
        offset += os.pwrite(fd, padded[offset:], offset)
    os.fsync(fd)
    if size > len(content):
        os.ftruncate(fd, len(content))
        os.fsync(fd)
