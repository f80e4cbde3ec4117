# SPDX-License-Identifier: Apache-2.0
"""The networks with gradients (extra `train`): state-dict names are Paddle's, values are interchangeable with the ONNX builders."""
