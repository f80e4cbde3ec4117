"""Models: which there are, where they lie on this machine, how they get there, and how they become one .onnx file."""
