"""Training: configuration, losses, one readable loop, checkpoints and export to ONNX."""
