"""What at a master needs an image, besides the nodes as they are now: the site's files, releases, rollouts.

A node may get the value of its files, or of a release, back at any moment, so all of them count, and every
word of a file that may be a reference: also of a profile that no node has yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kedge.master.intent.releases import Releases
from kedge.master.intent.wishes import Wishes
from kedge.master.rollout.rollouts import Rollouts
from kedge.modules.boot.layer0.record import ARCHITECTURES
from kedge.modules.port import OPEN, ImageClaim
from kedge.rollout.model import FINAL
from kedge.rollout.release import Release
from kedge.site.document import NOT_OF_THE_SITE
from kedge.site.model import Origin

WANTED, ARCH = "image.wanted", "boot.arch"
_WORD = re.compile(r"[A-Za-z0-9._:/@\[\]+-]+")
_PATTERN = re.compile(r"[A-Za-z0-9._:/@\[\]+-]*(?:\{[^{}\n]*\}[A-Za-z0-9._:/@\[\]+-]*)+")


class ImageClaims:
    """Asked whenever somebody looks at images, or removes some."""

    def __init__(self, wishes: Wishes, releases: Releases, rollouts: Rollouts) -> None:
        self._wishes, self._releases, self._rollouts = wishes, releases, rollouts

    def found(self) -> list[ImageClaim]:
        """All of them; raises `KedgeError` where a release cannot be read."""
        return [*self._of_files(), *self._of_releases(), *self._of_rollouts()]

    def _of_files(self) -> Iterator[ImageClaim]:
        intent = self._wishes.intent
        if not intent.files:
            return
        site = self._releases.base(intent)
        found: set[ImageClaim] = set()
        for name, node in site.nodes.items():
            wanted, arch = node.values.get(WANTED), node.values.get(ARCH)
            if isinstance(wanted, str):
                origin = site.origins.get(name, {}).get(WANTED, Origin("the site"))
                place = origin.file or origin.layer
                found.add(ImageClaim("files", place, wanted, str(arch or "")))
        yield from sorted(found)
        for name, words in _words_of(intent.files):
            for word in sorted(words):
                yield ImageClaim("files", name, word)

    def _of_releases(self) -> Iterator[ImageClaim]:
        for name in self._releases.names():
            for claim in _bound(self._releases.get(name)):
                yield claim._replace(kind="releases", name=name)

    def _of_rollouts(self) -> Iterator[ImageClaim]:
        """Of those that are not over: where they go to, and the way back."""
        for name, (rollout, progress) in self._rollouts.every.items():
            if progress.state in FINAL:
                continue
            for release in sorted({rollout.release, *rollout.was.values()} - {""}):
                for claim in _bound(self._releases.get(release)):
                    yield claim._replace(kind="rollouts", name=name)


def _bound(release: Release) -> Iterator[ImageClaim]:
    """What a release is bound to; of what it names unbound, all that it could be."""
    for reference, of in release.images.items():
        for arch, digest in of.items():
            yield ImageClaim("releases", release.name, reference, arch, digest)
    for _, words in _words_of(release.files):
        for word in sorted(words):
            bound = release.images.get(word)
            for arch in [""] if bound is None else ARCHITECTURES.keys() - bound.keys():
                yield ImageClaim("releases", release.name, word, arch)


def _words_of(files: Mapping[str, str]) -> Iterator[tuple[str, set[str]]]:
    """The words of each file of settings that may be references of images, or patterns of some."""
    for name, text in files.items():
        if name.endswith((".yaml", ".yml")) and "/" not in name and name not in NOT_OF_THE_SITE:
            words = {word for word in _WORD.findall(text) if "/" in word and ":" in word}
            patterns = {OPEN.sub("{}", word) for word in _PATTERN.findall(text)}
            yield name, words | {pattern for pattern in patterns if "/" in pattern}
