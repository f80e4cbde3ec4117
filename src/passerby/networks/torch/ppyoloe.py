# SPDX-License-Identifier: Apache-2.0
"""PP-YOLOE (CSPResNet, CustomCSPPAN, PPYOLOEHead; not the "plus" form) as PyTorch modules.

`state_dict()` has Paddle's parameter names in forward order, training form (RepVGG branches apart), so weights travel
between Paddle's files, this module and the ONNX builder of `networks/ppyoloe.py` without a table of names.
Losses, label assignment and NMS are not here: see `training/`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.1  # weight of the new batch; Paddle calls the same thing momentum 0.9
REG_BINS = 17
STRIDES = (32, 16, 8)
HARD_SIGMOID_SLOPE = 0.1666667  # the value Paddle stores, not exactly 1/6
PRIOR_BIAS = -4.595  # -log(99): every anchor starts at score 0.01


class HeadOutputs(NamedTuple):
    """What the head says about every anchor (A of them, levels in the order of `STRIDES`, rows first).

    class_logits: (N, A, C), before the sigmoid. side_logits: (N, A, 4, 17), bins of left, top, right, bottom.
    anchor_points: (A, 2) x, y in cells of the level. strides: (A, 1) in pixels. cells_per_level: anchors of each level.
    """

    class_logits: Tensor
    side_logits: Tensor
    anchor_points: Tensor
    strides: Tensor
    cells_per_level: tuple[int, ...]


class BatchNorm(nn.Module):
    """Batch normalisation with Paddle's names and its biased running variance."""

    _mean: Tensor
    _variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("_mean", torch.zeros(channels))
        self.register_buffer("_variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self._mean, self._variance, self.weight, self.bias, False, 0.0, BN_EPSILON)
        updated = self._variance.clone()  # a copy, because autograd keeps what it was given
        out = F.batch_norm(x, self._mean, updated, self.weight, self.bias, True, BN_MOMENTUM, BN_EPSILON)
        count = x.numel() // x.shape[1]
        with torch.no_grad():  # torch has mixed in the unbiased variance: shrink that share to Paddle's biased one
            old_share = self._variance * (1 - BN_MOMENTUM)
            self._variance.copy_((updated - old_share) * ((count - 1) / count) + old_share)
        return out


class ConvBN(nn.Module):
    """Convolution without bias, batch normalisation, then swish unless `activate` is False."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.bn = BatchNorm(channels_out)
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return F.silu(out) if self.activate else out


class RepVGG(nn.Module):
    """3x3 and 1x1 branches summed, then swish; merged into one convolution when a model is exported."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3, activate=False)
        self.conv2 = ConvBN(channels, channels, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv1(x) + self.conv2(x))


class BasicBlock(nn.Module):
    """3x3 ConvBN, RepVGG; the backbone adds its input, the neck does not."""

    def __init__(self, channels: int, *, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = ConvBN(channels, channels, 3)
        self.conv2 = RepVGG(channels)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return x + out if self.shortcut else out


class EffectiveSE(nn.Module):
    """Channel gate from the global mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(x.mean((2, 3), keepdim=True))
        return x * (gate * HARD_SIGMOID_SLOPE + 0.5).clamp(0.0, 1.0)


class CSPResStage(nn.Module):
    """One backbone stage: halve the resolution, residual blocks on half of the channels, gate, mix."""

    def __init__(self, channels_in: int, channels_out: int, *, blocks: int) -> None:
        super().__init__()
        middle = (channels_in + channels_out) // 2
        half = middle // 2
        self.conv_down = ConvBN(channels_in, middle, 3, stride=2)
        self.conv1 = ConvBN(middle, half, 1)
        self.conv2 = ConvBN(middle, half, 1)
        self.blocks = nn.Sequential(*(BasicBlock(half, shortcut=True) for _ in range(blocks)))
        self.attn = EffectiveSE(2 * half)
        self.conv3 = ConvBN(2 * half, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_down(x)
        x = torch.cat([self.conv1(x), self.blocks(self.conv2(x))], dim=1)
        out: Tensor = self.conv3(self.attn(x))
        return out


class CSPResNet(nn.Module):
    """Backbone: (N, 3, H, W) to three features of strides 8, 16, 32."""

    def __init__(self, *, depth: float, width: float) -> None:
        super().__init__()
        channels = scaled_channels(width)
        half = channels[0] // 2
        self.stem = nn.Sequential()
        self.stem.add_module("conv1", ConvBN(3, half, 3, stride=2))
        self.stem.add_module("conv2", ConvBN(half, half, 3))
        self.stem.add_module("conv3", ConvBN(half, channels[0], 3))
        counts = [max(round(n * depth), 1) for n in (3, 6, 6, 3)]
        self.stages = nn.Sequential(
            *(CSPResStage(channels[i], channels[i + 1], blocks=count) for i, count in enumerate(counts))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[1:]


class SPP(nn.Module):
    """Max pools of 5, 9 and 13 cells beside the input, mixed by a 1x1 ConvBN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvBN(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pools = [F.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        out: Tensor = self.conv(torch.cat([x, *pools], dim=1))
        return out


class CSPStage(nn.Module):
    """One neck stage: two 1x1 paths, blocks (and SPP after the middle one) on the second, mix."""

    def __init__(self, channels_in: int, channels_out: int, *, blocks: int, spp: bool) -> None:
        super().__init__()
        middle = channels_out // 2
        self.conv1 = ConvBN(channels_in, middle, 1)
        self.conv2 = ConvBN(channels_in, middle, 1)
        self.convs = nn.Sequential()
        for index in range(blocks):
            self.convs.add_module(str(index), BasicBlock(middle, shortcut=False))
            if spp and index == (blocks - 1) // 2:
                self.convs.add_module("spp", SPP(middle))
        self.conv3 = ConvBN(2 * middle, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv3(torch.cat([self.conv1(x), self.convs(self.conv2(x))], dim=1))
        return out


class CustomCSPPAN(nn.Module):
    """Neck: features of strides 8, 16, 32 to features of strides 32, 16, 8."""

    def __init__(self, *, depth: float, width: float) -> None:
        super().__init__()
        inputs = scaled_channels(width)[:1:-1]  # C5, C4, C3
        outputs = neck_channels(width)
        blocks = max(round(3 * depth), 1)
        self.fpn_stages = nn.ModuleList()
        self.fpn_routes = nn.ModuleList()
        route = 0
        for level in range(3):
            stage = CSPStage(inputs[level] + route, outputs[level], blocks=blocks, spp=level == 0)
            self.fpn_stages.append(nn.Sequential(stage))
            if level < 2:
                route = outputs[level] // 2
                self.fpn_routes.append(ConvBN(outputs[level], route, 1))
        self.pan_stages = nn.ModuleList()
        self.pan_routes = nn.ModuleList()
        for level in range(2):
            below = outputs[level + 1]
            self.pan_stages.append(
                nn.Sequential(CSPStage(below + outputs[level], outputs[level], blocks=blocks, spp=False))
            )
            self.pan_routes.append(ConvBN(below, below, 3, stride=2))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        top_down: list[Tensor] = []
        x = features[2]
        for level in range(3):
            if level:
                route = F.interpolate(self.fpn_routes[level - 1](x), scale_factor=2.0, mode="nearest")
                x = torch.cat([route, features[2 - level]], dim=1)
            x = self.fpn_stages[level](x)
            top_down.append(x)
        outputs = [x]
        for level in (1, 0):
            x = torch.cat([self.pan_routes[level](x), top_down[level]], dim=1)
            x = self.pan_stages[level](x)
            outputs.insert(0, x)
        return outputs


class ESEAttention(nn.Module):
    """Sigmoid channel gate from the level's mean, then a 1x1 ConvBN."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        nn.init.normal_(self.fc.weight, std=0.001)
        nn.init.zeros_(self.fc.bias)  # type: ignore[arg-type]
        self.conv = ConvBN(channels, channels, 1)

    def forward(self, x: Tensor, mean: Tensor) -> Tensor:
        out: Tensor = self.conv(x * torch.sigmoid(self.fc(mean)))
        return out


class PPYOLOEHead(nn.Module):
    """Head: per anchor one logit a class and 17 bins for each side of the box."""

    def __init__(self, channels: list[int], *, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.stem_cls = nn.ModuleList(ESEAttention(c) for c in channels)
        self.stem_reg = nn.ModuleList(ESEAttention(c) for c in channels)
        self.pred_cls = nn.ModuleList(nn.Conv2d(c, num_classes, 3, padding=1) for c in channels)
        self.pred_reg = nn.ModuleList(nn.Conv2d(c, 4 * REG_BINS, 3, padding=1) for c in channels)
        for layers, bias in ((self.pred_cls, PRIOR_BIAS), (self.pred_reg, 1.0)):
            for layer in layers:
                assert isinstance(layer, nn.Conv2d)
                assert layer.bias is not None
                nn.init.zeros_(layer.weight)
                nn.init.constant_(layer.bias, bias)
        self.proj_conv = nn.Conv2d(REG_BINS, 1, 1, bias=False)
        self.proj_conv.weight.requires_grad_(False)
        self.proj_conv.weight.copy_(torch.arange(REG_BINS, dtype=torch.float32).reshape(1, REG_BINS, 1, 1))

    def forward(self, features: list[Tensor]) -> HeadOutputs:
        logits, sides, points, strides, cells = [], [], [], [], []
        for level, x in enumerate(features):
            count, _, height, width = x.shape
            mean = x.mean((2, 3), keepdim=True)
            class_map = self.pred_cls[level](self.stem_cls[level](x, mean) + x)
            side_map = self.pred_reg[level](self.stem_reg[level](x, mean))
            logits.append(class_map.permute(0, 2, 3, 1).reshape(count, -1, self.num_classes))
            sides.append(side_map.permute(0, 2, 3, 1).reshape(count, -1, 4, REG_BINS))
            points.append(cell_centres(height, width, device=x.device))
            strides.append(torch.full((height * width, 1), float(STRIDES[level]), device=x.device))
            cells.append(height * width)
        return HeadOutputs(
            torch.cat(logits, 1), torch.cat(sides, 1), torch.cat(points), torch.cat(strides), tuple(cells)
        )

    def distances(self, side_logits: Tensor) -> Tensor:
        """Expected distance to each side, (N, A, 4), in cells."""
        return (side_logits.softmax(-1) * self.proj_conv.weight.reshape(-1)).sum(-1)


class PPYOLOE(nn.Module):
    """The whole detector.

    `forward` gives the exported graph's two outputs: boxes (N, A, 4) x1 y1 x2 y2 in network-input pixels, not
    clipped, and scores (N, C, A). `head_outputs` gives what the training losses need.
    Input: (N, 3, H, W) float32, RGB, normalised, H and W multiples of 32.
    """

    def __init__(self, *, depth: float, width: float, num_classes: int = 1) -> None:
        super().__init__()
        self.backbone = CSPResNet(depth=depth, width=width)
        self.neck = CustomCSPPAN(depth=depth, width=width)
        self.yolo_head = PPYOLOEHead(neck_channels(width), num_classes=num_classes)

    def head_outputs(self, images: Tensor) -> HeadOutputs:
        """Raw predictions of every anchor, with gradients."""
        outputs: HeadOutputs = self.yolo_head(self.neck(self.backbone(images)))
        return outputs

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.head_outputs(images)
        boxes = (
            distances_to_boxes(outputs.anchor_points, self.yolo_head.distances(outputs.side_logits)) * outputs.strides
        )
        return boxes, outputs.class_logits.sigmoid().permute(0, 2, 1)


def scaled_channels(width: float) -> list[int]:
    """Channels of the stem and the four backbone stages."""
    return [max(round(c * width), 1) for c in (64, 128, 256, 512, 1024)]


def neck_channels(width: float) -> list[int]:
    """Channels of the neck's outputs, strides 32, 16, 8."""
    return [max(round(c * width), 1) for c in (768, 384, 192)]


def cell_centres(height: int, width: int, *, device: torch.device | None = None) -> Tensor:
    """Centres of a level's cells, (height * width, 2) x, y in cells, rows first."""
    sides = (torch.arange(count, device=device) + 0.5 for count in (height, width))
    ys, xs = torch.meshgrid(*sides, indexing="ij")
    return torch.stack([xs.reshape(-1), ys.reshape(-1)], dim=1)


def distances_to_boxes(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes x1 y1 x2 y2 from points (..., 2) and left, top, right, bottom distances (..., 4), same unit."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)
