"""Completion for bash, zsh and fish: each shell asks `companion complete` what could come next.

The answers come from the command's own parser, so that they are never out of date; families,
experiments and recipes are read from their folders when asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from analysis.families.registry import FAMILIES

BASH = """_companion() {
    local IFS=$'\\n'
    COMPREPLY=($(companion complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _companion companion
"""
ZSH = """#compdef companion
_companion() {
    local -a found
    found=("${(@f)$(companion complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _companion companion
"""
FISH = """function __companion_complete
    set -l found (companion complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c companion -f -a '(__companion_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
#: Where each shell reads such a script from.
PLACES = {
    "bash": "companion completion bash > ~/.local/share/bash-completion/completions/companion",
    "zsh": "companion completion zsh > a file _companion in a folder of $fpath",
    "fish": "companion completion fish > ~/.config/fish/completions/companion.fish",
}


def candidates(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return what the last of ``words`` may become, given those before it; empty for file names.

    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--level", choices=["low", "high"])
    >>> candidates(parser, ["--level", "h"])
    ['high']
    """
    *before, current = words or [""]
    parser, before = _of_command(parser, before)
    options = {text: a for a in parser._actions for text in a.option_strings}
    last = options.get(before[-1]) if before else None
    if last is not None and last.nargs != 0:
        found = _values(last)
    elif current.startswith("-"):
        found = list(options)
    else:
        found = _values(_next_positional(parser, before, options))
    return sorted(text for text in found if text.startswith(current))


def _of_command(
    parser: argparse.ArgumentParser, words: list[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the subcommand's parser and the words after its name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words and words[0] in action.choices:
            return action.choices[words[0]], words[1:]
    return parser, words


def _next_positional(
    parser: argparse.ArgumentParser, words: Iterable[str], options: dict[str, argparse.Action]
) -> argparse.Action | None:
    """Return the positional argument that comes next after some words."""
    given, skip = 0, 0
    for word in words:
        action = options.get(word)
        if action is not None:
            skip = action.nargs if isinstance(action.nargs, int) else 1
        elif skip:
            skip -= 1
        else:
            given += 1
    positional = [action for action in parser._actions if not action.option_strings]
    return positional[given] if given < len(positional) else None


def _values(action: argparse.Action | None) -> list[str]:
    if action is None:
        return []
    if isinstance(action, argparse._SubParsersAction):
        return [choice.dest for choice in action._choices_actions]  # those with a help text
    if action.choices:
        return [str(choice) for choice in action.choices]
    if action.dest in ("family", "name"):
        return [path.stem for path in FAMILIES.glob("*.yaml")]
    if action.dest in ("experiment", "chapter"):
        from companion.runs.experiments import NOTEBOOKS

        return [path.stem for path in NOTEBOOKS.glob("*.py")]
    if action.dest == "recipe":
        from training import recipes

        return recipes.names()
    return ["pocket"] if action.dest == "data" else []
