"""The networks, one a file: their shapes, and the ONNX graph made from weights under Paddle's names."""
