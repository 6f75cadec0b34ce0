"""Reading a site's folder as it is in a commit of a git repository, not as it lies on the disk."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.lib.site_files import MOST_BYTES, MOST_FILES, NEVER

GIT_TIMEOUT_S = 60.0


def git(folder: Path, *arguments: str, timeout_s: float = GIT_TIMEOUT_S) -> bytes:
    """Run git in ``folder``; raises `KedgeError` with what git says."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError:
        raise KedgeError(
            "git.missing", "there is no git on this machine", next_step="apt install git"
        ) from None
    except subprocess.TimeoutExpired:
        raise KedgeError("git.slow", f"git did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0:
        raise KedgeError(
            "git.refused", f"git {arguments[0]} failed", where=str(folder),
            why=done.stderr.decode(errors="replace").strip()[-500:],
            next_step="Is this folder in a git repository, and is the commit there?",
        )  # fmt: skip
    return done.stdout


def read_commit(folder: Path, ref: str) -> tuple[dict[str, str], str]:
    """The texts of ``folder`` in the commit that ``ref`` names, and that commit's full name.

    Raises `KedgeError` for what is no commit, and for a folder that is too large or holds secrets.
    """
    commit = commit_of(folder, ref)
    where = f"{folder} at {ref}"
    refuse_large(git(folder, "ls-tree", "-r", "-l", "-z", commit), where)
    raw = git(folder, "archive", "--format=tar", commit, ".")
    return site_texts(raw, where), commit


def commit_of(folder: Path, ref: str) -> str:
    """The full name of the commit that ``ref`` names."""
    if ref.startswith("-"):
        raise KedgeError("git.ref", f"{ref!r} names no commit")
    return git(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()


def refuse_large(listed: bytes, where: str) -> None:
    """Refuse a folder that is larger than a site may be, before it is read into memory; ``listed`` is what
    ``git ls-tree -r -l -z`` says of it."""
    sizes: list[int] = []
    for entry in listed.split(b"\0"):
        told, _, name = entry.partition(b"\t")
        size = told.split(b" ")[-1]
        if size.isdigit() and not any(part.startswith(b".") for part in name.split(b"/")):
            sizes.append(int(size))
    if sum(sizes) > MOST_BYTES or len(sizes) > MOST_FILES:
        raise _too_large(where)


def _too_large(where: str) -> KedgeError:
    return KedgeError(
        "site.too_large",
        f"holds more than {MOST_FILES} files or {MOST_BYTES} bytes",
        where=where,
        next_step="Keep images and archives out of the site's repository, and push again",
    )


def site_texts(raw: bytes, where: str) -> dict[str, str]:
    """The texts of a site's folder from git's tar archive of it; raises `KedgeError`."""
    files: dict[str, str] = {}
    size = 0
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        for member in archive:
            name = Path(member.name).as_posix()
            parts = Path(name).parts
            if not member.isfile() or any(part.startswith(".") for part in parts):
                continue
            if parts[-1] in NEVER:
                raise KedgeError(
                    "site.secrets", "a secrets file is committed with the site", where=name,
                    next_step="Take it out of git; store secrets with: kedge secret set NAME",
                )  # fmt: skip
            size += member.size
            if size > MOST_BYTES or len(files) >= MOST_FILES:
                raise _too_large(where)
            body = archive.extractfile(member)
            text = _text(body.read() if body is not None else b"", name)
            if text is not None:
                files[name] = text
    return files


def _text(raw: bytes, name: str) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if name.endswith((".yaml", ".yml", ".csv", ".j2")):
            raise KedgeError(
                "site.encoding", "is not UTF-8 text", where=name, why=str(error)
            ) from None
        return None
