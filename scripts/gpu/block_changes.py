"""The block engine with other layouts on a device, and kernels compiled otherwise, than it would choose by itself."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

from gpubp.engines.block import engine as block_engine
from gpubp.engines.block.kernel import BlockKernel
from gpubp.engines.block.layout import BlockLayout
from gpubp.networks.plan import TrainingPlan


@contextmanager
def changed(
    layout: Mapping[str, int] | None = None,
    definitions: Mapping[str, object] | None = None,
    constants: Mapping[str, object] | None = None,
) -> Iterator[None]:
    """Within it every block engine on a device has these fields of BlockLayout, its kernel these definitions besides,
    and modules these constants, by their dotted names. ValueError for a definition that the kernel does not know.
    """
    source = BlockKernel("float32", "cross_entropy", "adam").source
    unknown = [name for name in definitions or {} if name not in source]
    if unknown:
        raise ValueError(f"the kernel's source knows no {', '.join(unknown)}: it would be the kernel as it is")
    chosen, defined = block_engine.cuda_layout, BlockKernel.definitions

    def cuda_layout(plan: TrainingPlan) -> BlockLayout:
        found = chosen(plan)
        return found if plan.backend.multiprocessors() is None else replace(found, **(layout or {}))

    def all_definitions(self: BlockKernel) -> dict[str, object]:
        return defined(self) | dict(definitions or {})

    with ExitStack() as stack:
        if layout:
            stack.enter_context(patch.object(block_engine, "cuda_layout", cuda_layout))
        if definitions:
            stack.enter_context(patch.object(BlockKernel, "definitions", all_definitions))
        for name, value in (constants or {}).items():
            module, _, constant = name.rpartition(".")
            stack.enter_context(patch.object(importlib.import_module(module), constant, value))
        yield
