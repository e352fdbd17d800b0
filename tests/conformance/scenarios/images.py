"""Images: what they are made from, their arguments and their attributes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as PILImage

from tests.conformance.scenario import Side, differs, same

RGB = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def tensor(array: Any) -> Any:
    """Return what looks like a torch tensor from outside, so that neither environment needs torch."""
    return type("Tensor", (_Tensor,), {"__module__": "torch"})(array)


class _Dtype(str):
    itemsize = 4


class _Tensor:
    is_sparse = False

    def __init__(self, array: Any, requires_grad: bool = False, device: str = "cpu") -> None:
        self.array = np.asarray(array)
        self.requires_grad, self.device = requires_grad, device

    ndim = property(lambda self: self.array.ndim)
    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: _Dtype(f"torch.{self.array.dtype}"))

    def _with(self, array: Any, **changes: Any) -> Any:
        return type(self)(array, **{"requires_grad": self.requires_grad, "device": self.device, **changes})

    def detach(self) -> Any:
        return self._with(self.array, requires_grad=False)

    def cpu(self) -> Any:
        return self._with(self.array, device="cpu")

    def to(self, kind: Any) -> Any:
        return self._with(self.array, device="cpu") if kind == "cpu" else self._with(self.array.astype(kind))

    def permute(self, *order: int) -> Any:
        return self._with(self.array.transpose(order))

    def is_floating_point(self) -> bool:
        return self.array.dtype.kind == "f"

    def numpy(self, *, force: bool = False) -> Any:
        if not force and (self.requires_grad or self.device != "cpu"):
            raise RuntimeError("call detach() and cpu() first")
        return self.array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.numpy(), dtype)


@contextmanager
def serving(pixels: Any) -> Iterator[tuple[str, list[str]]]:
    """Serve a picture on this machine; give its URL, and the list of what was asked for."""
    held = BytesIO()
    PILImage.fromarray(pixels).save(held, "png")
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(held.tell()))
            self.end_headers()
            self.wfile.write(held.getvalue())

        do_HEAD = do_GET  # noqa: N815  # as above

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/frame.png", asked
    finally:
        server.shutdown()
        server.server_close()


@same("Image(data_or_path)", "Image")
def arrays_of_bytes(side: Side) -> object:
    return [side.keep(side.Image(RGB)), side.keep(side.Image(RGB[..., 0]))]


@same("Image(data_or_path)")
def arrays_with_alpha_or_one_channel(side: Side) -> object:
    alpha = np.dstack([RGB, np.arange(20, dtype=np.uint8).reshape(4, 5) + 100])
    return [side.keep(side.Image(alpha)), side.keep(side.Image(RGB[..., :1]))]


@same("Image(data_or_path)")
def other_integers_are_taken_as_they_are(side: Side) -> object:
    return [side.keep(side.Image(RGB.astype(dtype))) for dtype in (np.int16, np.int32, np.int64, np.uint32)]


@same("Image(data_or_path)")
def floats_up_to_255(side: Side) -> object:
    return side.keep(side.Image(RGB.astype(np.float64)))


@same("Image(data_or_path)", "Image(path)")
def a_path(side: Side) -> object:
    path = side.directory / "frame.png"
    PILImage.fromarray(RGB).save(path)
    return [side.keep(side.Image(str(path))), side.keep(side.Image(path))]


@same("Image(path)")
def a_path_to_nothing(side: Side) -> object:
    return side.error(lambda: side.Image(str(side.directory / "none.png")))


@same("Image(PIL.Image)")
def pillow_images(side: Side) -> object:
    grey = PILImage.fromarray(RGB[..., 0])
    return [side.keep(side.Image(PILImage.fromarray(RGB))), side.keep(side.Image(grey))]


@same("Image(torch.Tensor)")
def tensors_have_their_channels_first(side: Side) -> object:
    chw = np.moveaxis(RGB, -1, 0)
    return [side.keep(side.Image(tensor(chw))), side.keep(side.Image(tensor(chw[:1])))]


@same("Image(torch.Tensor)")
def tensors_that_require_grad(side: Side) -> object:
    made = tensor(np.moveaxis(RGB, -1, 0).astype(np.float32))
    made.requires_grad = True
    return side.keep(side.Image(made))


@same("Image(mode)")
def a_mode_for_an_array(side: Side) -> object:
    return [side.keep(side.Image(RGB, mode=mode))["mode"] for mode in ("L", "RGB", "RGBA")]


@differs("Image(mode)", wandb=["RGB", "RGB"], maskl=["L", "L"])
def a_mode_for_a_pillow_image_or_a_path(side: Side) -> object:
    path = side.directory / "frame.png"
    PILImage.fromarray(RGB).save(path)
    made = side.Image(PILImage.fromarray(RGB), mode="L"), side.Image(str(path), mode="L")
    return [image.image.mode for image in made]


@same("Image(caption)")
def a_caption(side: Side) -> object:
    return [side.keep(side.Image(RGB, caption="도로 1")), side.keep(side.Image(RGB))]


@same("Image(grouping)")
def a_grouping_is_accepted(side: Side) -> object:
    return side.keep(side.Image(RGB, grouping=3))


@same("Image(classes)")
def classes_as_classes_or_a_list(side: Side) -> object:
    listed = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]
    masks = {"truth": {"mask_data": np.eye(4, 5, dtype=np.uint8), "class_labels": {0: "road", 1: "car"}}}
    return [side.keep(side.Image(RGB, classes=given, masks=masks)) for given in (listed, side.Classes(listed))]


@differs("Image(classes)", wandb={"0": "class_0", "1": "class_1"}, maskl={"0": "road", "1": "car"})
def classes_name_the_masks_without_labels(side: Side) -> object:
    classes = [{"id": 0, "name": "road"}, {"id": 1, "name": "car"}]
    masks = {"truth": {"mask_data": np.eye(4, 5, dtype=np.uint8)}}
    return side.keep(side.Image(RGB, classes=classes, masks=masks))["masks"]["truth"]["labels"]


@same("Image(file_type)")
def file_types(side: Side) -> object:
    kinds = ("png", "jpg", "jpeg", "bmp", "gif")
    return [side.error(lambda kind=kind: side.Image(RGB, file_type=kind)) for kind in kinds]


@same("Image(file_type)")
def lossless_file_types(side: Side) -> object:
    return [side.keep(side.Image(RGB, file_type=kind)) for kind in ("png", "bmp")]


@differs("Image(data_or_path)", wandb=[[0, 0], [0, 1]], maskl=[[0, 128], [191, 255]])
def floats_in_0_to_1(side: Side) -> object:
    image = side.Image(np.array([[0.0, 0.5], [0.75, 1.0]]))
    return np.asarray(image.image)


@differs("Image(data_or_path)", wandb=[[255, 0], [0, 1]], maskl=[[0, 64], [128, 255]])
def floats_in_minus_1_to_1(side: Side) -> object:
    image = side.Image(np.array([[-1.0, -0.5], [0.0, 1.0]]))
    return np.asarray(image.image)


@differs("Image(data_or_path)", wandb=[[253, 0], [255, 44]], maskl=[[0, 0], [255, 255]])
def values_out_of_range(side: Side) -> object:
    return np.asarray(side.Image(np.array([[-3, 0], [255, 300]])).image)


@differs("Image(data_or_path)", wandb=["L", "L"], maskl=["RGB", "RGB"])
def arrays_of_one_row_or_one_column(side: Side) -> object:
    return [side.keep(side.Image(array))["mode"] for array in (RGB[:, :1], RGB[:1])]


@differs(
    "Image(data_or_path)",
    wandb=["ValueError", "TypeError", None, "ValueError"],
    maskl=["TypeError", "TypeError", "TypeError", "ValueError"],
)
def arrays_of_other_shapes(side: Side) -> object:
    shapes = ((4, 5, 5), (2, 4, 5, 3), (4,), (0, 5, 3))
    return [side.error(lambda shape=shape: side.Image(np.zeros(shape, np.uint8))) for shape in shapes]


@differs("Image(data_or_path)", wandb="ValueError", maskl=None)
def grey_with_alpha(side: Side) -> object:
    return side.error(lambda: side.Image(RGB[..., :2]))


@differs(
    "Image(data_or_path)",
    wandb=["AttributeError", "AttributeError", "AttributeError"],
    maskl=["TypeError", "TypeError", "TypeError"],
)
def what_is_no_image(side: Side) -> object:
    return [side.error(lambda value=value: side.Image(value)) for value in (None, 3, object())]


@differs("Image(normalize)", wandb="TypeError", maskl=None)
def normalize(side: Side) -> object:
    floats = np.array([[0.0, 0.5], [0.75, 1.0]])
    return side.error(lambda: side.Image(floats, normalize=False))


@same("Image(matplotlib)")
def figures_and_axes(side: Side) -> object:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
    sizes = [side.Image(drawn).image.size for drawn in (figure, axes)]
    pyplot.close(figure)
    return sizes


URL = "s3://bucket/frames/도로 1.png"


@differs("Image(URL)", wandb=[None, None, None, None], maskl=["KeyError", "KeyError", "KeyError", "KeyError"])
def the_pixels_of_a_url(side: Side) -> object:
    urls = (URL, "gs://bucket/a.png", "https://example.org/a.png", "http://example.org/a.png")
    return [side.error(lambda url=url: side.Image(url).image) for url in urls]


@differs("Image(URL)", wandb=[["image"], {"image": "image"}, 1, True], maskl=[["image"], {"image": "image"}, 1, False])
def urls_in_tables_and_how_often_they_are_asked_for(side: Side) -> object:
    with serving(RGB) as (url, asked):
        row = side.kept_table(side.Table(columns=["image"], data=[[side.Image(url)]]))
        return [row["columns"], row["types"], len(row["rows"]), len(asked) > 0]


@differs("Image(URL)", wandb="ValueError", maskl=None)
def urls_logged_by_themselves(side: Side) -> object:
    with side.init() as run:
        return side.error(lambda: run.log({"image": side.Image("http://127.0.0.1:9/a.png")}))


@same("Image(Image)")
def an_image_of_an_image(side: Side) -> object:
    return side.keep(side.Image(side.Image(RGB, caption="one")))


@differs("Image(Image)", wandb="one", maskl="two")
def another_caption_for_an_image_of_an_image(side: Side) -> object:
    return side.keep(side.Image(side.Image(RGB, caption="one"), caption="two"))["caption"]


@same("Image.image")
def the_picture_as_pillow_has_it(side: Side) -> object:
    picture = side.Image(RGB).image
    return [isinstance(picture, PILImage.Image), picture.mode, picture.size, np.asarray(picture)]


@differs("Image.width", "Image.height", wandb=[None, None], maskl=[5, 4])
def width_and_height(side: Side) -> object:
    image = side.Image(RGB)
    return [getattr(image, "width", None), getattr(image, "height", None)]


@differs("Image.masks", wandb=[], maskl=["truth"])
def the_masks_of_an_image(side: Side) -> object:
    image = side.Image(RGB, masks={"truth": {"mask_data": np.eye(4, 5, dtype=np.uint8)}})
    return sorted(getattr(image, "masks", {}))


@differs("Image.boxes", wandb=[], maskl=["truth"])
def the_boxes_of_an_image(side: Side) -> object:
    box = {"position": {"minX": 0.1, "maxX": 0.2, "minY": 0.3, "maxY": 0.4}, "class_id": 1}
    return sorted(getattr(side.Image(RGB, boxes={"truth": {"box_data": [box]}}), "boxes", {}))


@same("Image.to_data_array")
def pixels_as_lists(side: Side) -> object:
    return [side.Image(RGB).to_data_array(), side.Image(RGB[..., 0]).to_data_array()]


@same("Image.all_captions")
def all_captions(side: Side) -> object:
    image = side.Image
    return [image.all_captions([image(RGB, caption="a"), image(RGB, caption="b")]), image.all_captions([image(RGB)])]


@differs("Image.all_captions", wandb=False, maskl=[None, "b"])
def all_captions_where_the_first_is_none(side: Side) -> object:
    return side.Image.all_captions([side.Image(RGB), side.Image(RGB, caption="b")])


@same("Image.==")
def equality_of_pixels_and_captions(side: Side) -> object:
    image = side.Image(RGB, caption="a")
    others = [side.Image(RGB, caption="a"), side.Image(RGB, caption="b"), side.Image(RGB[::-1], caption="a"), 3]
    return [image == other for other in others] + [image != other for other in others]


@differs("Image.==", wandb=[True, True], maskl=[True, False])
def equality_of_masks(side: Side) -> object:
    def made(value: int) -> Any:
        return side.Image(RGB, masks={"truth": {"mask_data": np.full((4, 5), value), "class_labels": {0: "a"}}})

    return [made(0) == made(0), made(0) == made(1)]
