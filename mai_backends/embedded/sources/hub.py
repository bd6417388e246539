"""hf:OWNER/NAME: a repository of the Hugging Face hub.

    hf:owner/name              the file with the best balance of size and quality
    hf:owner/name:Q8_0         the file of that quantisation
    hf:owner/name/file.gguf    that very file

HF_ENDPOINT, HF_TOKEN and the token of ``hf auth login`` are honoured.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mai_backends.embedded.sources import Access, Artifact, Part, safe_filename
from mai_backends.gguf.splits import names_of, split_of
from mai_core.errors import FetchError, Offline

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["PREFIX", "HubFile", "choose", "from_page", "resolve"]

PREFIX = "hf:"

_SOURCE = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<quantisation>[\w.-]+)|/(?P<file>.+\.gguf))?", re.IGNORECASE
)
_PAGE = re.compile(r"/(?P<repository>[^/]+/[^/]+)/(?:blob|resolve)/main/(?P<file>.+)")
_DEFAULT_HOST = "huggingface.co"
_TIMEOUT = 10.0
_PREFERRED = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "MXFP4", "Q5_K_S", "Q4_1", "IQ4_NL", "IQ4_XS", "Q6_K", "Q8_0")
_NOT_WEIGHTS = ("mmproj", "imatrix")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a repository; ``size`` in bytes and ``sha256`` are 0 and empty when the hub does not tell."""

    path: str
    size: int = 0
    sha256: str = ""


def from_page(url: str, access: Access) -> str | None:
    """The ``hf:`` source of a file's page on the hub, as copied from a browser; None for any other address."""
    page, endpoint = urlsplit(url), urlsplit(access.environment.get("HF_ENDPOINT", ""))
    match = _PAGE.fullmatch(unquote(page.path))
    if match is None or page.netloc not in (_DEFAULT_HOST, endpoint.netloc):
        return None
    return f"{PREFIX}{match['repository']}/{match['file']}"


async def resolve(source: str, access: Access) -> tuple[Artifact, ...]:
    """The file behind a source, or all parts of it when it is split. Raises ``Offline`` or ``FetchError``."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise FetchError(f"{source!r} is no repository", remedy="write hf:OWNER/NAME, hf:OWNER/NAME:Q4_K_M or a file")
    return await asyncio.to_thread(_resolve, source, match, access)


def _resolve(source: str, match: re.Match[str], access: Access) -> tuple[Artifact, ...]:
    from huggingface_hub import HfApi, get_token, hf_hub_url

    endpoint = access.environment.get("HF_ENDPOINT") or None
    token = access.environment.get("HF_TOKEN") or None
    repository = match["repository"]
    api = HfApi(endpoint=endpoint, token=token)
    revision, files = _listing(api, repository)
    authorization = get_token() if token is None else token
    headers = {"Authorization": f"Bearer {authorization}"} if authorization else {}
    return tuple(
        Artifact(
            filename=safe_filename(file.path),
            source=source,
            # Pinned to one commit, so that a resume finds the same file.
            parts=(
                Part(
                    url=hf_hub_url(repository, file.path, revision=revision, endpoint=endpoint),
                    size=file.size,
                    sha256=file.sha256,
                    headers=headers,
                ),
            ),
            size=file.size,
            sha256=file.sha256,
        )
        for file in choose(repository, files, quantisation=match["quantisation"] or "", path=match["file"] or "")
    )


def _listing(api: HfApi, repository: str) -> tuple[str, list[HubFile]]:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    # The hub's client has changed its HTTP library twice; its own error still derives from that library's.
    unreachable: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__bases__)
    try:
        info = api.model_info(repository, files_metadata=True, timeout=_TIMEOUT)
    except GatedRepoError as error:
        raise FetchError(
            f"{repository} is gated: its owner wants its terms accepted",
            remedy="accept them on the model's page, then set HF_TOKEN or run: hf auth login",
        ) from error
    except RepositoryNotFoundError as error:
        raise FetchError(
            f"the hub has no repository {repository}, or it is private",
            remedy="check the spelling; for a private one set HF_TOKEN",
        ) from error
    except HFValidationError as error:
        raise FetchError(f"{repository!r} is no repository's name", remedy="write OWNER/NAME") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        remedy = "check HF_TOKEN" if status in (401, 403) else "try again later"
        raise FetchError(f"the hub answered {status} for {repository}", remedy=remedy) from error
    except unreachable as error:
        raise Offline(
            f"the hub at {api.endpoint} cannot be reached",
            remedy="check the network, HF_ENDPOINT and HF_HUB_OFFLINE",
            detail=str(error),
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise FetchError(
            f"{api.endpoint} gives no listing of {repository}", remedy="check HF_ENDPOINT", detail=repr(error)
        ) from error
    return info.sha or "main", [
        HubFile(path=file.rfilename, size=file.size or 0, sha256=file.lfs.sha256 if file.lfs else "")
        for file in info.siblings or ()
    ]


def choose(repository: str, files: Sequence[HubFile], *, quantisation: str = "", path: str = "") -> list[HubFile]:
    """The file that was asked for, with the other parts of it in order. Raises ``FetchError`` if there is none."""
    weights = {
        file.path: file
        for file in files
        if file.path.lower().endswith(".gguf") and not any(word in file.path.lower() for word in _NOT_WEIGHTS)
    }
    if path:
        # Whoever names a file gets that file.
        named = [file for file in files if file.path == path]
        if not named:
            raise FetchError(f"{repository} has no file {path}", remedy=_offer(weights))
        return _with_parts(named[0], files)
    if not weights:
        raise FetchError(f"{repository} has no GGUF files", remedy=f"look for a conversion, such as {repository}-GGUF")
    for wanted in [quantisation] if quantisation else _PREFERRED:
        matching = sorted(name for name in weights if _has_quantisation(name, wanted))
        if matching:
            return _with_parts(weights[matching[0]], files)
    if quantisation:
        raise FetchError(f"{repository} has no {quantisation} file", remedy=_offer(weights))
    return _with_parts(min(weights.values(), key=lambda file: (file.size, file.path)), files)


def _has_quantisation(path: str, quantisation: str) -> bool:
    return re.search(rf"(?:^|[-._/]){re.escape(quantisation)}(?=[-./]|$)", path, re.IGNORECASE) is not None


def _with_parts(file: HubFile, files: Sequence[HubFile]) -> list[HubFile]:
    if split_of(file.path) is None:
        return [file]
    by_path = {other.path: other for other in files}
    wanted = names_of(file.path)
    missing = [name for name in wanted if name not in by_path]
    if missing:
        raise FetchError(f"{missing[0]} is missing from the repository", remedy="choose another quantisation")
    return [by_path[name] for name in wanted]


def _offer(paths: Sequence[str] | dict[str, HubFile]) -> str:
    return "it has " + ", ".join(sorted(paths)[:8]) if paths else "it has no GGUF files"
