"""The servers that are compared: one module each, with `create(...)`; `serve.py` runs them."""
