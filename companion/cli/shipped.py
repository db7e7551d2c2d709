"""What pyproject.toml cannot say: an installed package brings along what its commands read.

Only setuptools imports this, when it builds a package.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools.command.build_py import build_py

#: Of the checkout: families, tables and texts, the recorded measurements, the probe's report; not
#: the pocket lab's drawings and weights, which are large, nor the book.
SHIPPED = """
families/*.yaml data/*.yaml data/*.json data/*.csv data/imagenet/* data/measurements/*/*.json
data/moments/*.csv data/pocket/*.csv data/pocket/*.json data/pocket/*.yaml
data/pocket/architectures/*.json data/published/*.csv
notebooks/checkpoint_report.py book/captions/checkpoint_report.yaml book/captions/columns.yaml
course/lessons/*.csv LICENSES/* REUSE.toml
"""


class WithInputs(build_py):  # type: ignore[misc]
    """Copy them to where `analysis.base.roots.SHIPPED` looks for them."""

    def run(self) -> None:
        """Build as usual, then copy; an editable install reads the checkout itself."""
        super().run()
        for path in () if self.editable_mode else inputs():
            target = Path(self.build_lib, "analysis", "shipped", path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def get_source_files(self) -> list[str]:
        """What goes into an archive of sources, from which this can be built again."""
        return [*super().get_source_files(), *map(str, inputs())]


def inputs() -> Iterator[Path]:
    """The files that an installed package has besides its modules."""
    for pattern in SHIPPED.split():
        yield from sorted(Path().glob(pattern))
