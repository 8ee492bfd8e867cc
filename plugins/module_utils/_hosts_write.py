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

from ansible_collections.aurora.cluster.plugins.module_utils._hosts_entries import HostsError

LOCK_SECONDS = 60
# What rename() says when a directory entry cannot be replaced although the file itself can be written.
CANNOT_RENAME = (errno.EBUSY, errno.EXDEV)
# What creating a file beside it says then.
CANNOT_CREATE = (errno.EROFS, errno.EACCES, errno.EPERM)


def resolve(path, follow):
    """Return the path of the regular file to edit."""
    if os.path.islink(path):
        target = os.path.realpath(path)
        if not follow:
            raise HostsError(f"{path} is a symbolic link to {target}; set follow to edit the file it points to")
        if not os.path.exists(target):
            raise HostsError(f"{path} is a symbolic link to {target}, which does not exist")
        path = target
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise HostsError(f"{path} is not a regular file")
    if not os.path.isdir(os.path.dirname(path) or "."):
        raise HostsError(f"{path} cannot be created, its directory does not exist")
    return path


def read(path):
    """Return the bytes of a file, None when there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock for the file at path.

    The lock is on a file of its own beside it, because a lock on the file itself would be left behind by the rename.
    It is removed after use; whoever waited for it sees that and starts again. Where nothing can be created beside the
    file, no rename can happen either, so the file itself is locked.
    """
    directory, name = os.path.split(path)
    lock_path = os.path.join(directory, f".{name}.aurora-cluster.lock")
    try:
        fd = _acquire(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as exc:
        if exc.errno not in CANNOT_CREATE or not os.path.exists(path):
            raise
        lock_path = None
        fd = _acquire(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        if lock_path:
            os.unlink(lock_path)
        os.close(fd)


def _acquire(lock_path, flags):
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


def _is_file_at(fd, path):
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def replace(module, path, content, validate=None):
    """Make content the bytes of the file at path: by rename, in place only where a rename is impossible.

    Returns True when the file was replaced atomically.
    """
    creating = not os.path.exists(path)
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        beside = True
    except OSError as exc:
        if creating or exc.errno not in CANNOT_CREATE:
            raise
        fd, temporary = tempfile.mkstemp(dir=module.tmpdir)
        beside = False
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _validate(module, validate, temporary)
        atomic = beside and _rename(module, temporary, path)
        if not atomic:
            write_in_place(path, content)
        elif creating:
            os.chmod(path, 0o644)
        if read(path) != content:
            raise HostsError(f"{path} does not hold what was written to it, something else writes it too")
        return atomic
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _validate(module, validate, temporary):
    if not validate:
        return
    if "%s" not in validate:
        raise HostsError(f"validate must contain %s, which stands for the file to check: {validate}")
    rc, out, err = module.run_command(validate.replace("%s", temporary))
    if rc != 0:
        raise HostsError(f"validate failed with exit status {rc}: {(err or out).strip()}")


def _rename(module, temporary, path):
    try:
        module.atomic_move(temporary, path)
    except Exception as exc:
        reasons = list(_chain(exc))
        if any(isinstance(reason, OSError) and reason.errno in CANNOT_RENAME for reason in reasons):
            return False
        raise HostsError(f"cannot replace {path}: {reasons[-1]}") from exc
    _sync_directory(os.path.dirname(path))
    return True


def _chain(exc):
    """An exception and what it was raised from."""
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _sync_directory(directory):
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_in_place(path, content):
    """Overwrite a file that cannot be renamed over; on an error the old bytes are put back.

    The file is never truncated first, and a shorter content is written with newlines behind it before the file is cut:
    between any two system calls the file holds the old lines or the new ones.
    """
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        old = _read_all(fd, size)
        try:
            _overwrite(fd, content, size)
        except BaseException:
            _overwrite(fd, old, os.fstat(fd).st_size)
            raise
    finally:
        os.close(fd)


def _read_all(fd, size):
    parts, offset = [], 0
    while offset < size:
        part = os.pread(fd, size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _overwrite(fd, content, size):
    padded = content + b"\n" * (size - len(content))
    offset = 0
    while offset < len(padded):
        offset += os.pwrite(fd, padded[offset:], offset)
    os.fsync(fd)
    if size > len(content):
        os.ftruncate(fd, len(content))
        os.fsync(fd)
