"""Adapter files as tensors: headers, families, keys, binding to a model, patches. Does not draw."""
