# SPDX-License-Identifier: Apache-2.0
"""Starts a network from weights that are there already, and says what did not come along.

What is learnt for other labels stays useful: everything but the last layer is kept, and of that the labels that both
have. Names of tensors are Paddle's on both sides.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError, shown
from ..models.download import STDERR, Reports
from .schedule import EpochPlan
from .task import Place, Task
from .unfold import Folded, unfold
from .weights_source import FOLDED, Source, read_source

# tensors that have a part for each class, and the dimension of the parts
_BY_CLASS = {r"fc\.weight": 1, r"fc\.bias": 0, r"yolo_head\.pred_cls\.\d\.(weight|bias)": 0}
_CONSTANT = "yolo_head.proj_conv.weight"
NEEDED = 0.5  # share of the network's tensors that must be found, or the file is of another network
PICTURES, BATCH = 128, 16  # that the statistics of a folded model are measured on


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReport:
    """What became of the weights of a source.

    Attributes:
        source: file or name.
        loaded: tensors of the network that come from it, wholly or in part.
        left_out: tensors of the network that stay as they were, for want of one of this name or class count.
        unused: tensors of the source that the network has no place for.
        labels: ids of the classes whose outputs came along; empty also where the source does not name its own.
        new_labels: ids of the classes that start from nothing.
        measured: pictures on which batch normalisation was measured, where the source has it folded.
    """

    source: str
    loaded: int
    left_out: tuple[str, ...]
    unused: tuple[str, ...]
    labels: tuple[str, ...]
    new_labels: tuple[str, ...]
    measured: int

    def line(self) -> str:
        """One line for people."""
        parts = [f"weights from {self.source}: {self.loaded} tensors"]
        if self.new_labels:
            parts.append(f"{len(self.new_labels)} labels start from nothing ({_some(self.new_labels)})")
        if self.left_out:
            parts.append(f"left out: {_some(self.left_out)}")
        if self.measured:
            parts.append(f"statistics measured on {self.measured} pictures")
        return "; ".join(parts)


def start_from(task: Task, source: str | Path, *, reports: Reports = STDERR) -> StartReport:
    """Start a task's network from weights; labels are matched by id, statistics measured on its training pictures.

    Raises:
        ModelError: as `load_starting_weights`.
    """
    labels = [str(label["id"]) for label in task.describe().get("labels", ())]
    plan = EpochPlan(samples=task.samples, batch_size=BATCH, seed=task.seed)

    def pictures() -> Iterator[Tensor]:
        for number in range(min(plan.batches, PICTURES // BATCH)):
            inputs = task.batch(Place(0, number), plan.rows(0, number)).inputs
            if len(inputs):
                yield inputs

    return load_starting_weights(task.network, source, labels=labels or None, pictures=pictures(), reports=reports)


def load_starting_weights(
    network: nn.Module,
    source: str | Path,
    *,
    labels: Sequence[str] | None = None,
    pictures: Iterable[Tensor] = (),
    reports: Reports = STDERR,
) -> StartReport:
    """Write weights into a network.

    Args:
        network: a fresh one; what the source lacks stays as it is.
        source: a .safetensors that training wrote, a .pdparams, a folder in Paddle's layout, a .onnx of ours, or a
            name of the catalogue.
        labels: ids of the network's classes in order; None where they have none, then the classes of the source
            are taken when they are as many.
        pictures: batches of inputs, asked for only where batch normalisation is folded in the source.
        reports: where a download says what it does.
    Raises:
        ModelError: `model_mismatch` (another network, or another size of it), and what the readers say.
    """
    found = read_source(source, reports=reports)
    own = network.state_dict()
    placed = _place(found.weights, own)
    pairs = _pairs(found, own, labels)
    new: dict[str, Tensor] = {}
    for name, value in placed.tensors.items():
        dim = _class_dimension(name)
        if dim is not None:
            if pairs:
                new[name] = _by_class(name, own[name], value, pairs, dim, found.name)
        elif value.shape == own[name].shape:
            new[name] = value
        else:
            raise _other_size(found.name, name, value, own[name])
    covered = {*new, *placed.from_folded, _CONSTANT}
    left_out = tuple(name for name in own if name not in covered)
    if len(left_out) > (1 - NEEDED) * len(own):
        happened = f"these weights have {len(own) - len(left_out)} of the network's {len(own)} tensors"
        raise ModelError("model_mismatch", happened, input=found.name, hint="give weights of the same network")
    for name, layer in placed.folded.items():
        kernel = own[f"{name}.conv.weight"]
        if layer.kernel.shape != kernel.shape:
            raise _other_size(found.name, f"{name}.conv.weight", layer.kernel, kernel)
    network.load_state_dict({**own, **new})
    measured = unfold(network, placed.folded, placed.quiet, pictures) if placed.folded else 0
    kept = {mine for mine, _ in pairs}
    count = _class_count(own)
    ids = [str(label) for label in labels or (f"class {i}" for i in range(count))]
    return StartReport(
        source=found.name,
        loaded=len(own) - len(left_out),
        left_out=left_out,
        unused=placed.unused,
        labels=tuple(ids[mine] for mine in sorted(kept)) if labels else (),
        new_labels=tuple(id for mine, id in enumerate(ids) if mine not in kept),
        measured=measured,
    )


@dataclass(slots=True)
class _Placed:
    """Weights of a source by the place they have in the network."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    folded: dict[str, Folded] = field(default_factory=dict)
    quiet: list[str] = field(default_factory=list)
    from_folded: set[str] = field(default_factory=set)
    unused: tuple[str, ...] = ()


def _place(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> _Placed:
    placed = _Placed()
    taken: set[str] = set()
    for name, value in weights.items():
        if name in own:
            placed.tensors[name] = value
            taken.add(name)
            continue
        stem = name.removesuffix(FOLDED) if name.endswith(FOLDED) else name.removesuffix(".weight")
        bias = f"{stem}.folded.bias" if name.endswith(FOLDED) else f"{stem}.bias"
        merged = f"{stem}1.conv.weight" in own  # NAME.conv stands for the branches NAME.conv1 and NAME.conv2
        layer = f"{stem}1" if merged else stem
        if name.endswith(".weight") and bias in weights and f"{layer}.bn._mean" in own:
            placed.folded[layer] = Folded(kernel=value, bias=weights[bias])
            placed.quiet += [f"{stem}2"] if merged else []
            taken |= {name, bias}
    for layer in (*placed.folded, *placed.quiet):
        placed.from_folded |= {name for name in own if name.startswith((f"{layer}.conv.", f"{layer}.bn."))}
    placed.unused = tuple(name for name in weights if name not in taken)
    return placed


def _class_dimension(name: str) -> int | None:
    return next((dim for pattern, dim in _BY_CLASS.items() if re.fullmatch(pattern, name)), None)


def _class_count(tensors: Mapping[str, Tensor]) -> int:
    """Classes of a network; 0 where it has no last layer."""
    return next((v.shape[dim] for n, v in tensors.items() if (dim := _class_dimension(n)) is not None), 0)


def _pairs(found: Source, own: Mapping[str, Tensor], labels: Sequence[str] | None) -> list[tuple[int, int]]:
    """Which class of the network is which of the source."""
    mine, theirs = _class_count(own), _class_count(found.weights)
    if labels is not None and len(labels) != mine:
        raise ValueError(f"{len(labels)} labels for a network with {mine} outputs")
    if (mine == theirs == 1) or labels is None or found.labels is None or len(found.labels) != theirs:
        return [(i, i) for i in range(mine)] if mine == theirs else []
    place = {id: number for number, id in enumerate(found.labels)}
    return [(number, place[id]) for number, id in enumerate(labels) if id in place]


def _by_class(name: str, own: Tensor, value: Tensor, pairs: list[tuple[int, int]], dim: int, source: str) -> Tensor:
    """The network's own tensor with the parts of the classes that both have."""
    rest = [size for i, size in enumerate(value.shape) if i != dim]
    if value.ndim != own.ndim or rest != [size for i, size in enumerate(own.shape) if i != dim]:
        raise _other_size(source, name, value, own)
    mine, theirs = (torch.tensor(side, dtype=torch.long) for side in zip(*pairs, strict=True))
    return own.clone().index_copy(dim, mine.to(own.device), value.to(own).index_select(dim, theirs.to(own.device)))


def _other_size(source: str, name: str, value: Tensor, own: Tensor) -> ModelError:
    happened = f"weights of another size: {name} has shape {list(value.shape)}, this network has {list(own.shape)}"
    hint = "choose the size of network that the weights have"
    return ModelError("model_mismatch", happened, input=source, hint=hint)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shown(name, 60) for name in itertools.islice(names, 5)) + more
