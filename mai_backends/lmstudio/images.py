"""Images on their way to a server: sent once for each connection, then named in every history that shows them."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from mai_backends.lmstudio.client import Link, Parameter
from mai_core.errors import GenerationError
from mai_core.policy.messages import Image

__all__ = ["uploaded"]


async def uploaded(link: Link, image: Image) -> Mapping[str, Any]:
    """The part of a message that stands for an image, which the server has been given.

    The call of the SDK's ``prepare_image``, without its check of the answer against what it knew when it was made.
    Raises what the SDK raises, or ``GenerationError`` where the server sees no image in it.
    """
    content = hashlib.sha256(image.data).hexdigest()
    if (known := link.files.get(content)) is None:
        fields = {"name": image.name, "contentBase64": b64encode(image.data).decode()}
        answer = await link.call("files", "uploadFileBase64", Parameter(fields))
        match answer:
            case {"identifier": str(identifier), "fileType": "image"}:
                known = {"identifier": identifier, "fileType": "image", "sizeBytes": len(image.data)}
            case _:
                raise GenerationError(f"LM Studio does not take {image.name} for an image")
        link.files[content] = known
    return {"type": "file", "name": image.name, **known}
