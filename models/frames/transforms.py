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
from models.frames.picture import FILTERS, Picture, Pixels
from models.profiles.profile import Profile

_MAX_OBLONG = 4
"""A frame with a longer side than so many short ones is cropped from its full size, because most of a reduced one would
be thrown away."""


def crop_picture(picture: Picture, profile: Profile, crops: int = 1) -> UInt8Array:
    """uint8 [crops, S, S, 3]. A frame that shrinks is converted and reduced in one pass, at the size that it is cropped
    at; the others are cropped by `crop_frame`. The geometry is the same."""
    w, h = resized_size(picture.width, picture.height, profile, crops)
    if w > picture.width or h > picture.height or max(w, h) > _MAX_OBLONG * min(w, h):
        return crop_frame(picture.pixels(), profile, crops)
    whole = picture.reduced(w, h, profile.interpolation)  # [h, w, 3]
    boxes = crop_boxes(picture.width, picture.height, profile, crops)
    return np.stack([whole[y : y + box_h, x : x + box_w] for x, y, box_w, box_h in boxes])  # [crops, S, S, 3]


def crop_frame(rgb: UInt8Array, profile: Profile, crops: int = 1) -> UInt8Array:
    """rgb: uint8 [H, W, 3], sRGB → uint8 [crops, S, S, 3]. Raises: ValueError for another shape or type.

    Each crop is resampled directly from its source rectangle. Pillow's `box` also reads the pixels beyond the
    rectangle's edge that the filter needs, so the result equals resize-then-crop. Only the crop is computed: a 4000×8
    banner never becomes 128000×256.
    """
    picture = Pixels(rgb)
    width, height = picture.width, picture.height
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
        views.append(np.asarray(image.resize((box_w, box_h), FILTERS[profile.interpolation], box=source)))
    return np.stack(views)  # [crops, S, S, 3]


def shrink_frame(picture: Picture, profile: Profile) -> UInt8Array:
    """The whole frame at the profile's short side, uint8 [h, w, 3], sRGB, with the same aspect ratio. A smaller frame
    is not enlarged, because that would add bytes without detail."""
    width, height = picture.width, picture.height
    short = min(width, height)
    if short <= profile.short_side:
        return picture.pixels()
    return picture.reduced(
        width * profile.short_side // short, height * profile.short_side // short, profile.interpolation
    )
