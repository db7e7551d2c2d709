"""Lock a file that is named, and keep it until the end."""

import sys
from pathlib import Path

from analysis.features import store

print("started", flush=True)
held = store.locked([Path(sys.argv[1])])
held.__enter__()
print("held", flush=True)
