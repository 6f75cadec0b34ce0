"""Reading a site's folder: texts by name, within bounds, and nothing that is not meant for a site."""

from __future__ import annotations

import os
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.lib.site_files import MOST_BYTES, MOST_FILES, NEVER


def read_folder(folder: Path) -> dict[str, str]:
    """Every file below ``folder`` that holds text, by its relative name; hidden ones are left out.

    Raises `KedgeError` for a folder that is too large or cannot be read, and for a secrets file:
    secrets do not belong into a site.
    """
    files: dict[str, str] = {}
    size = 0
    for parent, names, entries in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for entry in sorted(entries):
            path = Path(parent) / entry
            name = path.relative_to(folder).as_posix()
            if entry.startswith(".") or entry.endswith("~") or not path.is_file():
                continue
            if entry in NEVER:
                raise KedgeError(
                    "site.secrets", "a secrets file lies in the site's folder", where=str(path),
                    next_step="Move it away; store secrets with: kedge secret set NAME",
                )  # fmt: skip
            text = _text(path)
            if text is None:
                continue
            size += len(text)
            files[name] = text
            if size > MOST_BYTES or len(files) > MOST_FILES:
                raise KedgeError(
                    "site.too_large", f"holds more than {MOST_FILES} files or {MOST_BYTES} bytes",
                    where=str(folder), next_step="Is this the site's own folder?",
                )  # fmt: skip
    return files


def _text(path: Path) -> str | None:
    """The file's text; None for a file that is not text, which only YAML and CSV must be."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KedgeError("site.too_large", f"is over {MOST_BYTES} bytes", where=str(path))
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise KedgeError(
            "site.unreadable", "cannot be read", where=str(path), why=error.strerror or str(error)
        ) from None
    except UnicodeDecodeError as error:
        if path.suffix in (".yaml", ".yml", ".csv", ".j2"):
            raise KedgeError(
                "site.encoding", "is not UTF-8 text", where=str(path), why=str(error)
            ) from None
        return None
