"""What an image is to NumPy and to notebooks, and its masks drawn over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage

from maskl.annotations.mask import ImageMask, as_dtype, resolve_class_set
from maskl_storage.errors import InvalidType, InvalidValue, NotFound
from maskl_storage.format.metadata import class_name
from maskl_storage.lazy import Deferred

if TYPE_CHECKING:
    import maskl.drawing.panels as panels
else:
    panels = Deferred("maskl.drawing.panels")

__all__ = ["Shown"]


class Shown:
    """The base of :class:`maskl.Image` that shows it."""

    def overlay(
        self: panels.Pictured,
        mask_key: str,
        alpha: float = 0.6,
        classes: Iterable[str | int] | str | int | None = None,
    ) -> PILImage.Image:
        """Return the image with a mask drawn over it, its regions outlined.

        Parameters
        ----------
        mask_key : str
            Which mask.
        alpha : float, optional
            How much the colours cover the image, 0 to 1.
        classes : sequence of str or int, optional
            Names or ids of the classes to draw; by default all.

        Returns
        -------
        PIL.Image.Image
            RGB, of the image's size; a mask of another size is stretched to it. A class has its own
            colour; one without is grey where it is ignored, else a colour that its id always has
            unless another class of the image has taken it.

        Raises
        ------
        NotFound
            The image has no such mask or the mask no such class, or the image is a reference, whose
            pixels are not here.
        InvalidType, InvalidValue
            ``alpha`` is not a number from 0 to 1.

        Examples
        --------
        >>> import maskl
        >>> masks = {"truth": {"mask_data": np.array([[0, 1]]), "class_labels": {0: "road", 1: "car"}}}
        >>> image = maskl.Image(np.zeros((1, 2, 3), np.uint8), masks=masks)
        >>> drawn = image.overlay("truth", classes=["car"])
        >>> drawn.size, drawn.getpixel((0, 0))
        ((2, 1), (0, 0, 0))
        """
        from maskl.drawing.overlay import overlay
        from maskl.drawing.panels import ClassNames, flatten

        masks = self.masks
        if mask_key not in masks:
            known = ", ".join(map(repr, masks)) or "none"
            raise NotFound(f"the image has no mask {mask_key!r:.60}; its masks are: {known}")
        if isinstance(alpha, bool | str) or not isinstance(alpha, int | float | np.number):
            raise InvalidType(f"alpha must be a number from 0 to 1; got {alpha!r:.60}")
        if not 0 <= alpha <= 1:
            raise InvalidValue(f"alpha must be from 0 to 1; got {alpha!r}")
        hidden = _hidden(self, mask_key, classes)
        pixels = flatten(self.image)
        names = ClassNames()
        for key in masks:
            names.add(self, key, truth=True)
        colors = names.colors_of(self, mask_key)
        return overlay(pixels, masks[mask_key].mask_data, colors, alpha=float(alpha), hidden=hidden)

    def __array__(
        self: panels.Pictured, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return as_dtype(np.array(self.image), dtype, copy, "an image")

    def _repr_html_(self: panels.Pictured) -> str:
        from maskl.drawing.notebook import image_html

        return image_html(self)

    def _repr_png_(self: panels.Pictured) -> bytes | None:
        from maskl.drawing.notebook import image_png

        return image_png(self)


def _hidden(image: panels.Pictured, key: str, classes: Iterable[str | int] | str | int | None) -> frozenset[int]:
    """Return the ids of a mask that are not among these classes."""
    if classes is None:
        return frozenset()
    mask: ImageMask = image.masks[key]
    items = {item.id: item for item in resolve_class_set(mask, image.classes, image.masks)}
    present: list[int] = mask.encoded[2].ids.tolist()
    names = {number: class_name(items.get(number), number) for number in (*items, *present)}
    chosen: set[int] = set()
    for wanted in [classes] if isinstance(classes, str | int | np.integer) else classes:
        found = {number for number, name in names.items() if wanted in (number, name)}
        if not found or isinstance(wanted, bool):
            known = ", ".join(f"{number} {name!r}" for number, name in sorted(names.items())[:40])
            raise NotFound(f"mask {key!r} has no class {wanted!r:.60}; its classes are: {known}")
        chosen |= found
    return frozenset(present) - chosen
