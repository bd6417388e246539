"""Images from files, and what to say when no model can see them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mai_core.errors import MaiError, NothingFits
from mai_core.policy.messages import Image
from mai_core.policy.models import Capability, ModelProfile
from mai_core.policy.pictures import LARGEST
from mai_core.policy.selection import Decision

__all__ = ["nobody_sees", "read_image"]

GET_ONE = (
    "get one that sees: ollama pull gemma3:4b, a vision model in LM Studio, or a GGUF file with its mmproj-*.gguf "
    "in the same folder"
)


def read_image(path: Path) -> Image:
    """The image in a file. Raises ``MaiError`` when there is none, or none that models take."""
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise MaiError(f"{path} cannot be read ({error.strerror})", remedy="check the name of the image") from error
    try:
        return Image(name=path.name, data=data)
    except ValueError as error:
        if len(data) > LARGEST:
            message, remedy = f"{path} has more than {LARGEST // 2**20} MiB", "make the image smaller"
        else:
            message, remedy = f"{path} {error}", "show a PNG, JPEG, WebP or GIF image"
        raise MaiError(message, remedy=remedy) from error


def nobody_sees(error: NothingFits, decision: Decision | None, models: Iterable[ModelProfile]) -> NothingFits:
    """Why nobody can look at an image now: who could but for something, else who can be fetched, else how to get one.

    ``error`` is what is said where a model that sees has an obstacle of its own.
    """
    seeing = [model for model in models if Capability.VISION in model.capabilities]
    here = {model.key for model in seeing if model.installed}
    lost = [r for r in decision.rejections if r.key in here] if decision is not None else []
    if lost:
        nearest = min(lost, key=lambda rejection: rejection.missing)
        return NothingFits(
            f"{nearest.key} could see the image, but cannot run now: {nearest.message}",
            remedy=nearest.remedy or error.remedy,
            detail=error.detail,
        )
    if elsewhere := [model.key for model in seeing if not model.installed]:
        return NothingFits("no model here can see images", remedy=f"fetch one that sees: mai pull {elsewhere[0]}")
    return NothingFits("no model here can see images", remedy=GET_ONE)
