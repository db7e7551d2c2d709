"""A notebook as one page by itself: its prose and results, without its code.

The page loads nothing: figures are inline SVG, the style sheet is part of it, and a content
security policy says so to the browser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from companion.publish.svg import inline_svg

if TYPE_CHECKING:
    from nbformat import NotebookNode

#: Cells with this tag are of the book alone.
BOOK = "book"
STYLE = """
:root { color-scheme: light dark; --companion-ink: #1f2328; --companion-muted: #57606a;
  --companion-grid: #d8dee4; --companion-paper: #ffffff; --soft: #f4f6f8; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --companion-ink: #e6edf3; --companion-muted: #9aa7b4;
  --companion-grid: #343b44; --companion-paper: #14181d; --soft: #1c2228; --link: #7cb8f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--companion-paper); color: var(--companion-ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 50rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; }
a { color: var(--link); }
.sentences { border: 1px solid var(--companion-grid); border-left: .4rem solid #1f83c4;
  background: var(--soft); border-radius: .4rem; padding: .2rem 1.1rem; margin: 1.3rem 0; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0;
  border-bottom: 1px solid var(--companion-grid); }
th { color: var(--companion-muted); font-weight: 600; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0 2rem; } figure svg { width: 100%; min-width: 27rem; height: auto; }
.caption { color: var(--companion-muted); font-size: .92rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: .88rem; }
pre { background: var(--soft); border-radius: .4rem; padding: .8rem 1rem; white-space: pre-wrap; }
"""
TEMPLATE = f"""{{%- extends 'base/null.j2' -%}}
{{%- block header -%}}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{{{ resources.title | e }}}}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{{{{ resources.title | e }}}}</h1>
{{% endblock -%}}
{{%- block markdowncell -%}}{{{{ cell.source | prose }}}}{{%- endblock -%}}
{{%- block display_data -%}}{{{{ output | result }}}}{{%- endblock -%}}
{{%- block footer %}}
</main>
</body>
</html>
{{% endblock -%}}
"""


def page(executed: NotebookNode, title: str) -> str:
    """An executed notebook as a page, HTML."""
    import mistune
    from nbconvert.exporters import TemplateExporter

    markdown = mistune.create_markdown(escape=True, plugins=["table"])

    def prose(text: str) -> str:
        return str(markdown(text))

    def result(output: NotebookNode) -> str:
        """A published result; a name in it is no markup."""
        note, data = output.metadata["companion"], output.data
        label = note["label"]
        told = f"{note.get('caption', '')} {note.get('more', '')}"
        caption = f'<div class="caption">{prose(told)}</div>'
        if note["kind"] == "figure":
            svg = inline_svg(data["image/svg+xml"], note["alt"])
            what = '<div class="scroll" tabindex="0" role="group" aria-label="Figure">'
            return f"<figure>{what}{svg}</div><figcaption>{caption}</figcaption></figure>"
        shown = re.sub(r"<th(?=[ >])", '<th scope="col"', prose(data["text/markdown"]))
        if note["kind"] == "text":
            return f'<section class="{label}">{shown}</section>'
        what = f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {label}">'
        return f"{what}{shown}</div>{caption}"

    exporter = TemplateExporter(
        raw_template=TEMPLATE, exclude_input=True, filters={"prose": prose, "result": result}
    )
    tagged = [cell for cell in executed.cells if BOOK not in cell.metadata.get("tags", [])]
    shown = type(executed)(executed, cells=tagged)
    body, _ = exporter.from_notebook_node(shown, {"title": title})
    return str(body)
