"""Stand-ins for arrays and tensors of libraries that are not there: what they answer, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Dtype:
    """A dtype of torch, as far as its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


class Tensor:
    """A tensor of torch: its values come only from a dense one that NumPy has a dtype for."""

    __module__ = "torch"

    def __init__(self, array: Any, dtype: str | None = None, *, layout: str = "torch.strided", **flags: bool) -> None:
        self.array = np.asarray(array)
        self.dtype = Dtype(dtype or self.array.dtype.name)
        self.layout = layout
        self.is_sparse = layout == "torch.sparse_coo"
        self.requires_grad = flags.get("requires_grad", False)
        self.is_quantized = flags.get("is_quantized", False)
        self.is_cuda = flags.get("is_cuda", False)
        self.is_meta = flags.get("is_meta", False)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def _with(self, **changes: Any) -> Any:
        names = ("layout", "requires_grad", "is_quantized", "is_cuda", "is_meta")
        return type(self)(
            self.array, **{"dtype": self.dtype.name, **{name: getattr(self, name) for name in names}, **changes}
        )

    def detach(self) -> Any:
        return self._with(requires_grad=False)

    def cpu(self) -> Any:
        return self._with(is_cuda=False)

    def to_dense(self) -> Any:
        return self._with(layout="torch.strided")

    def dequantize(self) -> Any:
        return self._with(is_quantized=False, dtype="float32")

    def float(self) -> Any:
        return self._with(dtype="float32")

    def is_floating_point(self) -> bool:
        return self.dtype.name.startswith(("float", "bfloat"))

    def numpy(self, *, force: bool = False) -> Array:
        if self.requires_grad and not force:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.is_cuda and not force:
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if self.layout != "torch.strided" or self.is_quantized:
            raise TypeError("can't convert this layout tensor to numpy")
        if self.is_meta:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        try:
            return self.array.astype(self.dtype.name)
        except TypeError as error:
            raise TypeError(f"Got unsupported ScalarType {self.dtype.name}") from error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.numpy(), dtype)

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Any:
        return (type(self)(part, self.dtype.name) for part in self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __float__(self) -> Any:
        return self.array.astype("f8").item()


class Parameter(Tensor):
    """A class of somebody's own, derived from torch's."""

    __module__ = "models.layers"


class Duck:
    """A tensor of a library that does as torch, such as Paddle, on another device."""

    __module__ = "paddle"

    def __init__(self, array: Any, where: str = "gpu") -> None:
        self.array, self.where = np.asarray(array), where

    def detach(self) -> Duck:
        return Duck(self.array, "detached")

    def cpu(self) -> Duck:
        assert self.where == "detached"
        return Duck(self.array, "cpu")

    def numpy(self) -> Array:
        assert self.where == "cpu"
        return self.array

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("on another device")


class Speaking:
    """An array of a library that speaks NumPy's protocol, such as TensorFlow."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.array, dtype)


class Capsule:
    """An array of a library that speaks DLPack only."""

    def __init__(self, array: Any) -> None:
        self.array = np.asarray(array)

    def __dlpack__(self, **asked: Any) -> Any:
        return self.array.__dlpack__(**asked)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Both(Capsule):
    """An array that speaks both, such as JAX's."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return np.asarray(self.array, dtype)


class Elsewhere(Capsule):
    """An array on another device that NumPy does not get by itself, such as CuPy's."""

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")


class Traced:
    """An array without values, such as those that JAX traces a function with."""

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise TypeError("The numpy.ndarray conversion method __array__() was called on traced array")


#: a way to make an array of each kind from NumPy's; all of them hold floats as exactly as bfloat16 does
ARRAYS: dict[str, Any] = {
    "numpy": np.asarray,
    "torch": Tensor,
    "torch with its gradient": lambda array: Tensor(array, requires_grad=True),
    "torch on a GPU": lambda array: Tensor(array, is_cuda=True, requires_grad=True),
    "torch, sparse": lambda array: Tensor(array, layout="torch.sparse_coo"),
    "torch, sparse by rows": lambda array: Tensor(array, layout="torch.sparse_csr"),
    "torch's parameter": lambda array: Parameter(array, requires_grad=True),
    "as torch does": Duck,
    "__array__": Speaking,
    "__dlpack__": Capsule,
    "both": Both,
    "elsewhere": Elsewhere,
}
#: the same of floats only
FLOATS: dict[str, Any] = {
    "bfloat16": lambda array: Tensor(array, "bfloat16"),
    "bfloat16 on a GPU": lambda array: Tensor(array, "bfloat16", is_cuda=True, requires_grad=True),
    "float16": lambda array: Tensor(array, "float16"),
    "float8": lambda array: Tensor(array, "float8_e4m3fn"),
    "quantized": lambda array: Tensor(array, "qint8", is_quantized=True),
}
#: arrays that have no values to give
EMPTY_HANDED: dict[str, Any] = {
    "meta": lambda: Tensor([[1.0]], is_meta=True),
    "bits": lambda: Tensor([[1]], "bits8"),
    "traced": Traced,
}
