# SPDX-License-Identifier: Apache-2.0
"""The networks with gradients (extra `train`): state-dict names are Paddle's,
values interchange with the ONNX builders."""
