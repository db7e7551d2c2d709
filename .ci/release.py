"""Check, build and try a version, as `make release` does.

The version must be the same in `pyproject.toml`, `CITATION.cff` and the topmost heading of
`CHANGELOG.md`, with one date in the last two, and nothing may be uncommitted. The wheel is then
installed into an empty environment, which probes a shipped model in a folder of its own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "data/pocket/checkpoints/pocket-cnn-web-large.safetensors"
PICTURES = (
    "from PIL import Image, ImageDraw\n"
    "for n in range(16):\n"
    "    image = Image.new('RGB', (64, 64), (16 * n, 120, 255 - 16 * n))\n"
    "    ImageDraw.Draw(image).ellipse((n, 8, 30 + 2 * n, 50), fill=(255, 16 * n, 0))\n"
    "    image.save(f'pictures/{n}.png')\n"
)


def stated() -> tuple[str, str]:
    """The version and its date; exits with one sentence where the files differ."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text()
    heading = re.search(r"^## (\S+), (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    date = heading[2] if heading else "no date"
    wanted = {f"version: {version}", f"date-released: {date}"}
    if not heading or heading[1] != version or not wanted <= {*citation.splitlines()}:
        sys.exit(
            f"pyproject.toml has version {version}: write it and one date into CITATION.cff "
            "(version, date-released) and into the topmost heading of CHANGELOG.md."
        )
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True).stdout:
        sys.exit("There are uncommitted changes: commit them first, so that the tag has them.")
    return version, date


def run(*command: object, cwd: Path = ROOT, **more: str) -> str:
    """What a command prints; exits with its errors if it fails. ``more``: environment."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env = own | more  # else pip would take the checkout for installed
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def tried(wheel: Path, version: str) -> str:
    """What the installed wheel finds of the shipped model."""
    with tempfile.TemporaryDirectory() as place:
        folder, python = Path(place, "empty"), Path(place, "venv/bin/python")
        (folder / "pictures").mkdir(parents=True)
        run(sys.executable, "-m", "venv", python.parents[1])
        run(python, "-m", "pip", "install", "--quiet", f"{wheel}[extract]", cwd=folder)
        companion = python.with_name("companion")
        if (said := run(companion, "--version", cwd=folder).strip()) != f"companion {version}":
            sys.exit(f"The installed package says {said!r}, companion {version} is expected.")
        run(python, "-c", PICTURES, cwd=folder)
        weights = shutil.copy2(MODEL, folder)
        given = ("--architecture", "pocket-cnn", "--images", "pictures")
        run(companion, "probe", weights, *given, "--json", "r.json", "--html", "r.html", cwd=folder)
        found = json.loads((folder / "r.json").read_text())
        assert (folder / "r.html").stat().st_size > 10_000, "the report is empty"
        kappa = found["values"]["kurtosis_mean"]["value"]
        pictures = found["counts"]["images"]
        return f"κ = {kappa:.2f} over {pictures} pictures"


def main() -> None:
    """Do it, and say what is left to do by hand."""
    version, date = stated()
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", "dist")
    (wheel,) = (ROOT / "dist").glob("*.whl")
    (archive,) = (ROOT / "dist").glob("*.tar.gz")
    print(f"built {wheel.name} and {archive.name}")
    print(f"installed in an empty environment, it finds: {tried(wheel, version)}")
    print(f"{version} of {date} is ready: git tag v{version} && git push origin v{version}")


if __name__ == "__main__":
    main()
