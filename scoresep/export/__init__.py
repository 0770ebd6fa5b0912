"""Models for other programs: a separator as an ONNX file, and a script that runs it without torch."""
