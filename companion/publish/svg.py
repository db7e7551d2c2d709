"""Figures as part of a page: their colours follow its theme. No matplotlib."""

from __future__ import annotations

import hashlib
import html
import re

#: Stand-ins of `companion.publish.style` → the page's variables.
THEME = {"#1f2328": "ink", "#57606a": "muted", "#d8dee4": "grid", "#ffffff": "paper"}


def inline_svg(svg: str, alt: str) -> str:
    """SVG ready to stand in a page: named for screen readers, themed, with ids of its own.

    `svg` is what `figures.to_svg` returns. The page's style sheet gives `--companion-ink`,
    `-muted`, `-grid` and `-paper` their colours.
    """
    body = svg[svg.index("<svg") :]
    prefix = "f" + hashlib.sha256(body.encode()).hexdigest()[:8]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(href=")#([^"]+)"', rf'\1#{prefix}-\2"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", body)
    for colour, name in THEME.items():
        body = body.replace(colour, f"var(--companion-{name})")
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    label = html.escape(alt, quote=True)
    body = body.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    return re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
