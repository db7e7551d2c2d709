"""What readers take along from a book with hostile texts: slides, files of results, hand-outs."""

import json
import zipfile

from conftest import programs

#: What a reader takes along → where it lies below `book/_build`, and what of it Chromium opens.
WAYS = {
    "slides": "html/slides/*.html",
    "downloads": "html/results/taken_along/*/*.*",
    "notebooks of runs": "html/_sources/runs/taken_along/*.ipynb",
    "hand-outs": "html/_downloads/teach/*",
}
CAPTIONS = """
seen, listed:
  caption: "Models of {who}. Their names."
  more: "They are of {who}."
"""
PAGE = """# A page

:::{admonition} Exercise outlier-2 · short · 1 minutes
:class: tip exercise
:name: outlier-2
A number.
:::
"""
TEACH = "notebooks/teach"


def put(project, texts):
    """A notebook that publishes what families are called, and a teaching notebook of such texts."""
    (project / "notebooks/taken_along.py").write_text(programs("projects")["taken_along"])
    captions = project / "book/captions/taken_along.yaml"
    captions.write_text(CAPTIONS)
    (project / "book/outlier_features.md").write_text(PAGE)
    lines = "".join(f"# {line}\n" for text in texts for line in text.splitlines())
    (project / TEACH).mkdir()
    for name in ("LICENCE.txt", "README.md"):
        (project / TEACH / name).write_text("Free.\n")
    source = f"# %% [markdown]\n# # Numbers\n{lines}\n# %%\n{lines}print(1)\n"
    (project / TEACH / "outlier_features.py").write_text(source)


def put_slides(project, texts):
    """A deck of the texts, and of all results that have such names."""
    families = sorted(path.stem for path in (project / "families").glob("*.yaml"))
    shown = [f"taken_along/{name}#{of}" for name in families for of in ("listed", "slide-seen")]
    results = "".join(f"# A\n\n> 1 min\n\n```{{result}} {one}\n```\n\n---\n\n" for one in shown)
    said = "\n\n".join(" ".join(text.split()) for text in texts)
    folder = project / "book/guide/slides"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hostile.md").write_text(f"{results}# {said}\n\n> 2 min: {texts[0]}\n")


def failures(project, ran):
    """Ways by which no text got in, and notebooks that hold more than code, text and drawings."""
    for way, pattern in WAYS.items():
        paths = [path for path in (project / "book/_build").glob(pattern) if path.is_file()]
        texts = [_text(path) for path in paths]
        if not any(ran in text for text in texts):
            yield f"{way}: nothing was let in"
        for path, text in zip(paths, texts, strict=True):
            if path.suffix == ".ipynb":
                cells = json.loads(text)["cells"]
                data = [o.get("data", {}) for cell in cells for o in cell.get("outputs", [])]
                if any(kind in one for one in data for kind in ("text/html", "text/latex")):
                    yield f"{path.name} holds HTML"


def _text(path):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return "".join(archive.read(name).decode("latin-1") for name in archive.namelist())
    return path.read_bytes().decode("latin-1")
