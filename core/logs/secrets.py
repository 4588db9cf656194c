"""What must not be in a log: passwords and queries of URLs, tokens, the secrets of this installation, and whole digests
of videos."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from core.settings import Settings

HIDDEN: Final = "***"
_SHORTEST = 6  # a shorter password would be found in the middle of words

_PATTERNS: Final = (
    # user:password@ of a URL. The user may be empty, as in redis://:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/?#@:]*):[^\s/?#]+@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    # the query of a URL: signed URLs of object stores carry their key there
    (re.compile(r"(\bhttps?://[^\s?'\"<>]+\?)[^\s'\"<>]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"\bwhsec_[\w+/=-]+"), f"whsec_{HIDDEN}"),
    # the digest of a video: a log outlives the video, and whoever has the same video could find that it was here
    (re.compile(r"(?<![0-9a-f])([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])"), r"\1…"),
)


class Redactor:
    """Hides secrets in text."""

    def __init__(self, settings: Settings | None = None) -> None:
        """settings: those whose secrets are hidden wherever they stand."""
        found = set(_secrets(settings)) if settings else set()
        longest_first = sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        if self._known:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _secrets(settings: Settings) -> Iterator[str]:
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
    for url in (settings.redis_url, settings.redis_cache_url, settings.store):
        if url and (password := urlsplit(url).password):
            yield from {password, unquote(password)}
