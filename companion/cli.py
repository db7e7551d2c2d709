"""The command `companion`: families, features, runs, and the public artefacts they rest on."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.common import ROOT, SHIPPED, CompanionError, is_checkout
from companion.commands import VERBS
from companion.runs.options import add_options, models_of, read

EXAMPLES = """examples:
  companion status
  companion run effective_robustness vit_b_32 -p pool_v2 threshold --output trial.ipynb
  companion extract vit_b_16 --data imagenet imagenet-r --precision bf16
  companion probe vit_b_32-openai --images pictures/ --html report.html
  companion rerun outlier_features --checkpoint weights.safetensors --architecture ViT-B-32 \\
      --data pictures/

exit status: 0 done, 1 could not be done (one sentence on the error output says why),
2 the command line is wrong, 130 interrupted (the next call continues)
"""
#: What was typed before, and what does it now.
OLD = {
    "update": "companion build --runs",
    "execute": "companion run",
    "step": "companion grid",
    "check-measurements": "companion check",
    "completion": 'eval "$(register-python-argcomplete companion)"',
    "miniature": "nothing (the miniatures are made by the tests that need them)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, do it, and return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if words and words[0] in OLD:
        print(f"companion: {words[0]} is no command any more, use {OLD[words[0]]}.",
              file=sys.stderr)  # fmt: skip
        return 2
    parser, commands = _parser(words or os.environ.get("COMP_LINE", "").split())
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    parsed = parser.parse_args(words)
    one = VERBS[parsed.verb]
    options = {
        n: read(model, parsed, commands[parsed.verb]) for n, model in models_of(one.do).items()
    }
    own = dict(options.pop(""))  # those that are no model's
    try:
        _check_root(parsed.verb, one.checkout)
        with _quietly(getattr(parsed, "quiet", False)):
            status = one.do(**own, **options)
            sys.stdout.flush()
        return status
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if not one.needs:
            raise
        print(f"companion: {one.needs} needs {error.name}, which is not installed: pip install -e "
              f"'.[{one.extras}]'.", file=sys.stderr)  # fmt: skip
    except BrokenPipeError:  # whoever read the output has seen enough: `| head`, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"companion: {_about_disk(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        what = "nothing was written" if parsed.verb == "probe" else "the next call continues"
        print(f"companion: interrupted; {what}.", file=sys.stderr)
        return 130
    return 1


def _check_root(command: str, needs_checkout: bool) -> None:
    """Raise CompanionError if ``COMPANION_ROOT`` is nothing, or a checkout is needed and absent."""
    named = os.environ.get("COMPANION_ROOT")
    folder = Path(named).expanduser() if named else ROOT
    if named and not (is_checkout(folder) or (folder.is_dir() and ROOT == SHIPPED)):
        raise CompanionError(
            f"COMPANION_ROOT is {named!r}, which is no checkout of the companion (a folder with "
            "families/, notebooks/ and a Snakefile): set it to one, or unset it."
        )
    if needs_checkout and ROOT == SHIPPED:
        raise CompanionError(
            f"companion {command} works on a checkout of the companion, and {Path.cwd()} is not in "
            "one: go there, or set COMPANION_ROOT to it; probe, add, extract and measure work "
            "anywhere."
        )


def _parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, dict[str, Any]]:
    """The parser, with the options of the commands that the words name."""
    style: Any = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser("companion", description=__doc__, epilog=EXAMPLES, **style)
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is")
    commands = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    for name, one in VERBS.items():
        text = " ".join((one.do.__doc__ or "").split())
        first = text.split(". ")[0].rstrip(".")
        lines = "".join(f"\n  companion {name} {example}".rstrip() for example in one.examples)
        command = commands.add_parser(
            name, help=first[:1].lower() + first[1:], description=textwrap.fill(text, 78),
            epilog=f"example{'s'[: len(one.examples) > 1]}:{lines}", **style,
        )  # fmt: skip
        for model in models_of(one.do).values() if name in words else ():
            add_options(command, model, *one.placed)
    return parser, dict(commands.choices)


class _Version(argparse.Action):
    """Looked up when asked for: reading the package's metadata takes a while."""

    def __call__(self, *_: Any) -> None:
        import importlib.metadata

        print(f"companion {importlib.metadata.version('interpreting-clip-companion')}")
        sys.exit(0)


@contextlib.contextmanager
def _quietly(quiet: bool) -> Iterator[None]:
    """Keep progress to ourselves; errors are printed after this."""
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        yield


def _about_disk(error: OSError) -> str:
    what = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None)):
        return f"{what}{where}: make room and call again; what was finished is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{what}{where}: allow reading and writing there, and call again."
    return f"{what}{where}."


if __name__ == "__main__":
    sys.exit(main())
