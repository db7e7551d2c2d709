"""Read the features that are named; say how fast, and assert what was not imported for it."""

import sys
import time
from pathlib import Path

from analysis.features import plan, store  # noqa: F401 - of `plan` the import alone counts

print(store.read_features(Path(sys.argv[1])).features.shape, time.process_time() < 5)
assert not {"torch", "open_clip", "timm", "torchvision"} & sys.modules.keys()
