"""Mounts for web frameworks: `asgi`, `starlette`, `fastapi`, and `adapter` for everything else.

Each module imports its framework, and this package none.
"""
