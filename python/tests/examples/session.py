"""Runs blocks of Python from standard input, one JSON object a line, in one module and one event loop.

The answer is a line too: {"output": what was printed, "error": traceback or ""}.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import faulthandler
import inspect
import io
import json
import linecache
import sys
import traceback
import types
from typing import Any

PATIENCE = 60  # seconds for a block


async def run(module: types.ModuleType, block: dict[str, Any]) -> dict[str, str]:
    """Runs one block. Its tracebacks point to the lines of its page."""
    name = f"{block['page']}:{block['line']}"
    source = "\n" * (block["line"] - 1) + block["source"]
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    printed, error = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        try:
            code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, module.__dict__)
            if code.co_flags & inspect.CO_COROUTINE:
                await asyncio.wait_for(result, PATIENCE)
        except (Exception, SystemExit):
            error = traceback.format_exc()
    return {"output": printed.getvalue(), "error": error}


async def main() -> None:
    module = types.ModuleType("page")
    sys.modules["page"] = module
    asyncio.get_running_loop().slow_callback_duration = PATIENCE  # blocks import a lot
    out = sys.stdout
    while line := await asyncio.to_thread(sys.stdin.readline):
        faulthandler.dump_traceback_later(2 * PATIENCE, exit=True)
        print(json.dumps(await run(module, json.loads(line))), file=out, flush=True)
        faulthandler.cancel_dump_traceback_later()


asyncio.run(main())
