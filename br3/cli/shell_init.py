"""``br3 shell-init``."""

from __future__ import annotations

import click

# `br3 worktree switch` and what else leads somewhere writes the directory to a file; the shell's function goes there.
# The newline of a name's end survives: $(…) would cut it off.
_POSIX = """\
br3() {
    case "${1-} ${2-}" in
        "worktree switch" | "worktree new" | "worktree remove") ;;
        *) command br3 "$@"; return ;;
    esac
    local br3_file br3_code br3_to
    br3_file=$(mktemp "${TMPDIR:-/tmp}/br3-cd.XXXXXXXX") || { command br3 "$@"; return; }
    BR3_CD_FILE=$br3_file command br3 "$@"
    br3_code=$?
    if [ -s "$br3_file" ]; then
        br3_to=$(command cat "$br3_file"; printf x)
        builtin cd -- "${br3_to%x}" || br3_code=1
    fi
    command rm -f "$br3_file"
    return $br3_code
}
"""
_FISH = """\
function br3
    if not contains -- "$argv[1] $argv[2]" "worktree switch" "worktree new" "worktree remove"
        command br3 $argv
        return
    end
    set -l br3_tmp /tmp
    set -q TMPDIR; and set br3_tmp $TMPDIR
    set -l br3_file (mktemp $br3_tmp/br3-cd.XXXXXXXX); or begin
        command br3 $argv
        return
    end
    BR3_CD_FILE=$br3_file command br3 $argv
    set -l br3_code $status
    if test -s $br3_file
        read -l -z br3_to < $br3_file
        builtin cd -- $br3_to; or set br3_code 1
    end
    command rm -f $br3_file
    return $br3_code
end
"""
SHELLS = ("bash", "zsh", "fish")


@click.command("shell-init")
@click.argument("shell", type=click.Choice(SHELLS))
def shell_init(shell: str) -> int:
    """Print what makes your shell follow br3 and complete its names.

    \b
    bash  eval "$(br3 shell-init bash)"    in ~/.bashrc
    zsh   eval "$(br3 shell-init zsh)"     in ~/.zshrc, after compinit
    fish  br3 shell-init fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from br3.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(cli, {}, "br3", "_BR3_COMPLETE")
    # Not source(): for bash that starts one to look at its version.
    click.echo((_FISH if shell == "fish" else _POSIX) + completion.source_template % completion.source_vars(), nl=False)
    return 0
