"""The artifact store: files and directories under keys, in a directory of this machine or in an object store. A file is
written elsewhere and published in one step. This room imports `core.errors`, `core.projects` and `core.settings`.
"""

from core.storage.staged import Staged
from core.storage.store import Store, blob_key
from core.storage.upkeep import Upkeep, store_upkeep

__all__ = ["Staged", "Store", "Upkeep", "blob_key", "store_upkeep"]
