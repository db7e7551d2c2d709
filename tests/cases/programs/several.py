"""Do command lines, one as JSON a line, in one process, which imports what takes long once."""

import contextlib
import io
import json
import sys

from companion.cli.main import main

for line in sys.stdin:
    said, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(errors):
        status = main(json.loads(line))
    print(json.dumps([status, said.getvalue(), errors.getvalue()]), flush=True)
