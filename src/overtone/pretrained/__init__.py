"""The shipped models: one self-describing ``.onnx`` file each, with its card beside it."""
