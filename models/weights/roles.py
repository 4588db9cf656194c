"""What a parameter is for. A training method says which roles move; a recipe says at which rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from torch import nn

Role = Literal["image_tower", "text_tower", "head", "prompts", "scale"]
"""`head`: temporal heads, convolutions over time, and the rows of a learned W. `prompts`: vectors that are learned in
place of words or beside patches. `scale`: s."""

PRETRAINED: Final[frozenset[Role]] = frozenset({"image_tower", "text_tower", "scale"})
"""What comes from the base model. The rest is new."""

RoleParameters = Iterator[tuple[Role, str, nn.Parameter]]
"""Role, name and parameter."""
