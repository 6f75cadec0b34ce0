"""Errors that speak to an operator: what went wrong, where, why, and the command to type next."""

from __future__ import annotations


class KedgeError(Exception):
    """An error of the world (never a bug of ours), fit to be shown to an operator as it stands.

    ``code`` is stable and dotted (``site.unknown_key``), for scripts; ``where`` is a node, a file with
    its line (``nodes.yaml:12``) or an address; ``next_step`` is what to type or do.
    """

    def __init__(
        self, code: str, what: str, *, where: str = "", why: str = "", next_step: str = ""
    ) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.where = where
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        if self.next_step:
            text += f". {self.next_step}"
        return text

    def as_dict(self) -> dict[str, str]:
        """The error as the API and ``-o json`` show it."""
        return {
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "next_step": self.next_step,
        }


class NotNow(KedgeError):
    """It could not be tried: who should do it was not reached, or has no room now. That is no failure of
    what was to be done; it is tried again, for as long as it takes."""


class KedgeErrors(KedgeError):
    """Several errors of one input, reported together."""

    def __init__(self, errors: list[KedgeError]) -> None:
        first = errors[0]
        super().__init__(
            first.code, first.what, where=first.where, why=first.why, next_step=first.next_step
        )
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)
