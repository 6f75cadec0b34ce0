"""The image module: OCI images by tag, pinned to a digest, brought to nodes as verified layers.

Its declaration is in `kedge.modules.image.module`; what it is made of lies beside it.
"""

from kedge.modules.image.module import module

__all__ = ["module"]
