"""The images of a release: their digests, looked up once, when the release is made."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kedge.core.graph import Graph
from kedge.lib.errors import KedgeError, KedgeErrors
from kedge.lib.nodeset import fold
from kedge.modules.port import Io

TIMEOUT_S = 120.0
AT_ONCE = 4

Needs = Mapping[tuple[str, str], list[str]]
"""(image reference, architecture) -> the nodes that would run it."""


async def find_digests(
    io: Io, graph: Graph, release: str, needs: Needs
) -> dict[str, dict[str, str]]:
    """The digest of every image, by reference and architecture; one error for all that cannot be had."""
    room = asyncio.Semaphore(AT_ONCE)
    failed: list[KedgeError] = []

    async def one(reference: str, arch: str) -> str:
        try:
            async with room, asyncio.timeout(TIMEOUT_S):
                return await _find(io, graph, reference, arch)
        except TimeoutError:
            error = KedgeError("image.registry_down", "its registry did not answer in time")
        except KedgeError as found:
            error = found
        failed.append(_missing(release, reference, arch, needs[reference, arch], error))
        return ""

    wanted = sorted(needs)
    digests = await asyncio.gather(*(one(reference, arch) for reference, arch in wanted))
    if failed:
        raise KedgeErrors(failed) if len(failed) > 1 else failed[0]
    images: dict[str, dict[str, str]] = {}
    for (reference, arch), digest in zip(wanted, digests, strict=True):
        images.setdefault(reference, {})[arch] = digest
    return images


async def _find(io: Io, graph: Graph, reference: str, arch: str) -> str:
    """What the image module says; empty where there is none."""
    module = graph.modules.get("image")
    resolve = module.actions.get("resolve") if module is not None else None
    if resolve is None:
        return ""
    answer = await resolve(io, {"reference": reference, "arch": arch})
    return str(answer.get("digest", "")) if isinstance(answer, dict) else ""


def _missing(
    release: str, reference: str, arch: str, nodes: list[str], error: KedgeError
) -> KedgeError:
    return KedgeError(
        "release.image",
        f"release {release} needs the image {reference} for {arch}, which cannot be had",
        where=fold(nodes),
        why=f"{error.what}: {error.why}" if error.why else error.what,
        next_step=error.next_step or "Push it, and create the release again",
    )
