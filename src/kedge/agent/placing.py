"""Write files below a root directory without ever leaving it, each whole or not at all.

Paths are walked one directory at a time. A symbolic link on the way is followed only when it belongs
to root, and always inside the root, so that neither a link of the image nor one that a user made can
send a file elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator

from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile

_LINKS_MAX = 40


def place(root: str, file: HostFile) -> bool:
    """Write ``file`` below ``root``; False when it was already so."""
    folder, name = _split(file.path)
    with _open_folder(root, folder, create=True) as directory:
        if _same(directory, name, file):
            return False
        draft = f".{name[:200]}.kedge-new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600, dir_fd=directory)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(file.content)
                os.fchown(out.fileno(), file.uid, file.gid)
                os.fchmod(out.fileno(), file.mode)
            os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
        except IsADirectoryError:
            os.unlink(draft, dir_fd=directory)
            raise _refused(file.path, "it is a directory in the image") from None
        except OSError:
            os.unlink(draft, dir_fd=directory)
            raise
    return True


def read(root: str, path: str) -> HostFile | None:
    """The regular file at ``path`` below ``root`` as it stands, or None."""
    folder, name = _split(path)
    try:
        with _open_folder(root, folder) as directory:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(name, flags, dir_fd=directory)
            with os.fdopen(descriptor, "rb") as content:
                status = os.fstat(content.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return None
                mode = stat.S_IMODE(status.st_mode)
                return HostFile(path, content.read(), mode, status.st_uid, status.st_gid)
    except (FileNotFoundError, NotADirectoryError, KedgeError):
        return None
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise


def remove(root: str, path: str) -> None:
    """Remove the file at ``path`` below ``root``, if it is there."""
    folder, name = _split(path)
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        _open_folder(root, folder) as directory,
    ):
        os.unlink(name, dir_fd=directory)


def exists(root: str, path: str) -> bool:
    """Whether there is something at ``path`` below ``root`` (links followed inside the root)."""
    try:
        with _open_folder(root, path.strip("/").split("/"), last_may_be_file=True):
            return True
    except (FileNotFoundError, NotADirectoryError, KedgeError):
        return False


def _split(path: str) -> tuple[list[str], str]:
    *folder, name = path.strip("/").split("/")
    return folder, name


@contextlib.contextmanager
def _open_folder(
    root: str, parts: list[str], *, create: bool = False, last_may_be_file: bool = False
) -> Generator[int]:
    """A descriptor of the directory that ``parts`` lead to, from ``root``."""
    trail = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    pending = list(reversed(parts))
    links = 0
    try:
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            target = _link_target(trail[-1], part)
            if target is None:
                file_fits = last_may_be_file and not pending
                trail.append(_step(trail[-1], part, create, file_fits))
                continue
            links += 1
            if links > _LINKS_MAX:
                raise _refused("/".join(parts), "too many symbolic links")
            if target.startswith("/"):
                while len(trail) > 1:
                    os.close(trail.pop())
            pending.extend(reversed(target.split("/")))
        yield trail[-1]
    finally:
        for descriptor in trail:
            os.close(descriptor)


def _link_target(directory: int, name: str) -> str | None:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISLNK(status.st_mode):
        return None
    if status.st_uid not in (0, os.geteuid()):
        raise _refused(name, f"a symbolic link on the way belongs to user {status.st_uid}")
    return os.readlink(name, dir_fd=directory)


def _step(directory: int, name: str, create: bool, file_fits: bool) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if file_fits else os.O_DIRECTORY)
    try:
        return os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        if not create:
            raise
    except NotADirectoryError:
        if not create:
            raise
        raise _refused(name, "a directory on the way is a file") from None
    os.mkdir(name, 0o755, dir_fd=directory)
    return os.open(name, flags, dir_fd=directory)


def _same(directory: int, name: str, file: HostFile) -> bool:
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    facts = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_size)
    wanted = (file.mode, file.uid, file.gid, len(file.content))
    if not stat.S_ISREG(status.st_mode) or facts != wanted:
        return False
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as content:
        return content.read(len(file.content) + 1) == file.content


def _refused(path: str, why: str) -> KedgeError:
    return KedgeError(
        "files.refused",
        "a host file cannot be written",
        where=path,
        why=why,
        next_step="Change its path, or the image",
    )
