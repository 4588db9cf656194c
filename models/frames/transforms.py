"""One decoded frame → the uint8 crops that are sent to the recogniser. Decode children run this: PIL and numpy, no
torch.

Pixels cross process borders as bytes. Normalisation follows later, on the device, in one pass over the batch.
The views of a video are ordered crop-major: view V = crop · clips + clip (Text4Vis, method §9).
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.crops import crop_boxes, resized_size
from models.profiles.profile import Profile

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def crop_frame(rgb: UInt8Array, profile: Profile, crops: int = 1) -> UInt8Array:
    """rgb: uint8 [H, W, 3], sRGB → uint8 [crops, S, S, 3]. Raises: ValueError for another shape or type.

    Each crop is resampled directly from its source rectangle. Pillow's `box` also reads the pixels beyond the
    rectangle's edge that the filter needs, so the result equals resize-then-crop. Only the crop is computed: a 4000×8
    banner never becomes 128000×256.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(f"expected uint8 [H, W, 3], got {rgb.dtype} {list(rgb.shape)}")
    height, width = rgb.shape[:2]
    w, h = resized_size(width, height, profile, crops)
    image = Image.fromarray(rgb)
    views = []
    for x, y, box_w, box_h in crop_boxes(width, height, profile, crops):
        source = (
            x * width / w,
            y * height / h,
            min((x + box_w) * width / w, width),
            min((y + box_h) * height / h, height),
        )
        views.append(np.asarray(image.resize((box_w, box_h), _FILTERS[profile.interpolation], box=source)))
    return np.stack(views)  # [crops, S, S, 3]


def shrink_frame(rgb: UInt8Array, profile: Profile) -> UInt8Array:
    """rgb: uint8 [H, W, 3], sRGB → the whole frame resized to the profile's short side, uint8 [h, w, 3], with the same
    aspect ratio. A smaller frame is not enlarged, because that would add bytes without detail."""
    height, width = rgb.shape[:2]
    short = min(width, height)
    if short <= profile.short_side:
        return rgb
    size = width * profile.short_side // short, height * profile.short_side // short
    return np.asarray(Image.fromarray(rgb).resize(size, _FILTERS[profile.interpolation]))
