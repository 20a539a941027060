"""What git calls: a few lines of sh that find br3's script from where they are run, so that a repository may be moved
or copied, and that run first what was there before.

The hook that was there keeps its directory, as ``NAME.br3-kept``: managers look for their files beside themselves. A
shell script that asks for its own name (husky's do) is read into a shell that still has the old one.
"""

from __future__ import annotations

import re
from pathlib import Path
from shlex import quote

from br3.hooks import places

MARK = "# br3 hook shim"
KEPT = ".br3-kept"

# Finds br3's directory without a process in a main worktree and in a linked one; git is asked in any other place.
_FIND = """\
br3_dir=${GIT_COMMON_DIR:-${GIT_DIR:-.git}}
if [ -f "$br3_dir/commondir" ]; then
    IFS= read -r br3_line <"$br3_dir/commondir"
    case $br3_line in
    /*) br3_dir=$br3_line ;;
    *) br3_dir=$br3_dir/$br3_line ;;
    esac
fi
[ -d "$br3_dir/br3/hooks" ] || br3_dir=$(git rev-parse --git-common-dir 2>/dev/null)
br3_home=$br3_dir/br3/hooks
"""

_MEND = "Mend: br3 hooks install"
_DAMAGED = f"is damaged, so nothing passes. {_MEND}"
_GONE = f"br3 is no longer in this repository, so nothing was looked at; without it, remove this hook. {_MEND}"

# pre-commit and prek run a hook that they found as NAME.legacy. When what we keep is one of theirs, it must not be run
# again from there.
_RUN_KEPT = """\
br3_kept=$0{kept}
case $0 in
*.legacy) br3_kept=${{0%.legacy}}{kept} ;;
*.old) br3_kept=${{0%.old}}{kept} ;;
esac
if [ -f "$br3_kept" ] && [ -x "$br3_kept" ]; then
    case ":${{BR3_IN_HOOK-}}:" in
    *":{hook}@$PWD:"*) exit 0 ;;
    esac
    BR3_IN_HOOK="${{BR3_IN_HOOK-}}:{hook}@$PWD"
    export BR3_IN_HOOK
    if [ -n "${{PRE_COMMIT_RUNNING_LEGACY-}}${{PREK_RUNNING_LEGACY-}}" ] && grep -q hook-impl "$br3_kept"; then
        :
    else
{run}
    fi
fi
"""

_RUN = "        {command} || exit $?"
_RUN_WITH_INPUT = """\
        br3_input=$(cat && printf x)
        printf '%s' "${{br3_input%x}}" | {command} || exit $?"""
_GO_ON_WITH_INPUT = """\
case ${br3_input-} in
'') ;;
x) exec </dev/null ;;
*)
    exec <<END
${br3_input%?x}
END
    ;;
esac
"""

_WITH_INPUT = ("pre-push", "post-rewrite", "reference-transaction")
_SHELL = re.compile(rb"#! ?(/\S*/)(?:env +)?(sh|bash|dash|ash|ksh)((?: +-[a-z]+)?)[ \t]*\r?\n")


def shim(hook: str, kept: bytes | None = None, *, shared: bool = False) -> bytes:
    """The file for the hooks' directory; ``kept`` is the content of what was there before. ``shared``: repositories use
    the directory that br3 was never installed in."""
    return "".join(
        [
            "#!/bin/sh\n",
            f"{MARK} for {hook}: `br3 hooks uninstall` takes it out and puts back what was here before.\n",
            _chained(hook, kept) if kept is not None else "",
            _FIND,
            f"{_call(hook, shared)}\n",
        ]
    ).encode()


def command(hook: str) -> str:
    """The same for ``hook.NAME.command`` of git's configuration, on one line; git adds the hook's arguments."""
    return (
        'd=${GIT_COMMON_DIR:-${GIT_DIR:-.git}}; c=; [ ! -f "$d/commondir" ] || IFS= read -r c <"$d/commondir"; '
        'case $c in "") ;; /*) d=$c ;; *) d=$d/$c ;; esac; '
        '[ -d "$d/br3/hooks" ] || d=$(git rev-parse --git-common-dir); '
        f"br3_home=$d/br3/hooks; {_call(hook)}; :"  # git puts the arguments behind it
    )


def _call(hook: str, shared: bool = False) -> str:
    """Run br3's script. What guards lets nothing pass when a part of br3 is missing, and says so when all of it is:
    as long as there is no manifest, nothing is known to be wanted."""
    parts = " && ".join(f'[ -f "$br3_home/{name}" ]' for name in (hook, *places.SHARED))
    there = f'if {parts}; then . "$br3_home/{hook}"'
    if hook not in places.GUARDING:
        return f"{there}; fi"
    damaged = f'echo "br3: {hook}: $br3_home {_DAMAGED}" >&2; exit 1'
    gone = "" if shared or hook == "prepare-commit-msg" else f'; else echo "br3: {hook}: {_GONE}" >&2'
    return f'{there}; elif [ -f "$br3_home/manifest.json" ]; then {damaged}{gone}; fi'


def is_ours(content: bytes) -> bool:
    """Whether a file in a hooks' directory is a shim of br3."""
    return MARK.encode() in content[:400]


def is_our_shim(path: Path) -> bool:
    """Whether that file is there, and a shim of br3."""
    try:
        return is_ours(path.read_bytes())
    except OSError:
        return False


def maker(content: bytes) -> str:
    """Whose hook it is, by what the managers write into theirs."""
    head = content[:4000]
    for sign, name in (
        (b"pre-commit.com", "pre-commit"),
        (b"prek", "prek"),
        (b"lefthook", "lefthook"),
        (b"LEFTHOOK", "lefthook"),
        (b'"$0")/h"', "husky"),
        (b"husky", "husky"),
    ):
        if sign in head:
            return name
    return "another hook"


def _chained(hook: str, kept: bytes) -> str:
    shell = _SHELL.match(kept)
    if shell and re.search(rb"\$\{?0|basename|BASH_SOURCE", kept):
        path, name, flags = (part.decode() for part in shell.groups())
        program = f"/usr/bin/env {name}" if path.endswith("/bin/") and b"env" in kept[: shell.end()] else path + name
        how = f"""br3_kept="$br3_kept" {program}{flags} -c '. "$br3_kept"' "$0" "$@\""""
    else:
        how = '"$br3_kept" "$@"'
    run = (_RUN_WITH_INPUT if hook in _WITH_INPUT else _RUN).format(command=how)
    text = _RUN_KEPT.format(kept=KEPT, hook=quote(hook), run=run)
    return text + (_GO_ON_WITH_INPUT if hook in _WITH_INPUT else "")
