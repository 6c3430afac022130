"""Networks as ONNX files that say what they are: what all share, and one file a family."""
