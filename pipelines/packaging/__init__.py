"""A trained model becomes a bundle: one ONNX graph from raw columns to predictions, and the documents around it."""
