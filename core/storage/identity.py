"""The identity of a store: a random id, written into the store once.

Two hosts with the default store have two directories. What one publishes, the other does not find. The id tells them
apart, because a URL does not: `file:///data/store` may be one directory or many.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from core.storage.store import Store

KEY: Final = "store.json"


def store_id(store: Store) -> str:
    """`store_…`: the same for everyone who opens the store. Raises: StorageUnavailable."""
    text = store.read_text(KEY)
    if text is None:
        store.create_text(KEY, json.dumps({"id": f"store_{secrets.token_hex(8)}"}))  # another process may be first
        text = store.read_text(KEY) or "{}"
    return str(json.loads(text).get("id"))
