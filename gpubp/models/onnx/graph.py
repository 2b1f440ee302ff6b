"""An ONNX graph in the making."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gpubp.errors import SettingsError

OPSET = 15
ML_OPSET = 3  # of the domain ai.onnx.ml, for one-hot encoding of texts
IR_VERSION = 8
ML_DOMAIN = "ai.onnx.ml"

Tensor = str
"""A tensor of the graph, by name."""


class Graph:
    """Every method adds to the graph and returns the name of the tensor that is new. Rows are a symbolic dimension."""

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        """reserved: names that inputs will have, so that nothing else takes them."""
        _require_onnx()
        self.names: set[str] = set(reserved)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._given: dict[tuple[str, bool], Tensor] = {}

    def input(self, name: str, dtype: Any, width: int, renamed: bool = False) -> Tensor:
        """(rows, width); one that was asked for before is the same. renamed: a name that is taken gets a number."""
        if (name, renamed) not in self._given:
            self._given[name, renamed] = tensor = self.fresh(name) if renamed else name
            self.names.add(tensor)
            self.inputs.append(_value(tensor, dtype, ("rows", width)))
        return self._given[name, renamed]

    def constant(self, values: Any, dtype: Any = None) -> Tensor:
        from onnx import numpy_helper

        name = self.fresh("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: Tensor, domain: str = "", **attributes: Any) -> Tensor:
        from onnx import helper

        name = self.fresh(operator.lower())
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def cast(self, tensor: Tensor, dtype: Any) -> Tensor:
        from onnx import helper

        return self.add("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def output(self, name: str, tensor: Tensor, dtype: Any, width: int | None) -> None:
        """(rows, width), or (rows,) where width is None. A name that is taken gets a number."""
        from onnx import helper

        name = self.fresh(name)
        self.nodes.append(helper.make_node("Identity", [tensor], [name], name=name))
        self.outputs.append(_value(name, dtype, ("rows",) if width is None else ("rows", width)))

    def fresh(self, name: str) -> Tensor:
        """The name itself, or with a number where it is taken."""
        if name in self.names:
            numbered = (f"{name}_{i}" for i in range(1, len(self.names) + 2))
            name = next(each for each in numbered if each not in self.names)
        self.names.add(name)
        return name

    def model(self, description: str, metadata: Mapping[str, Any]) -> Any:
        """The checked onnx.ModelProto; metadata: JSON values, to be read from its metadata_props."""
        import onnx
        from onnx import helper

        from gpubp._version import __version__

        graph = helper.make_graph(self.nodes, "gpubp", self.inputs, self.outputs, self.constants)
        model = helper.make_model(
            graph,
            producer_name="gpubp",
            producer_version=__version__,
            doc_string=description,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)],
        )
        helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
        onnx.checker.check_model(model, full_check=True)
        return model


def _value(name: str, dtype: Any, shape: tuple[Any, ...]) -> Any:
    from onnx import TensorProto, helper

    kind = TensorProto.STRING if dtype is str else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "Exporting to ONNX needs the package onnx, which is not installed: pip install 'gpubp[onnx]'."
        ) from error
