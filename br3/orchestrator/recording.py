"""A build's verdict: what its commands say of the very commit that its worktree stands at, recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote

from br3.errors import Br3Error
from br3.orchestrator import verdicts
from br3.orchestrator.verification import Verdict, beside, verify
from br3.orchestrator.working import Work
from br3.repo import refs


class Elsewhere(Br3Error):
    """The worktree does not hold the commit that is to be verified: what is tested there says nothing of it, and no
    verdict is recorded."""


def run_verification(
    work: Work, head: refs.CommitId, key: verdicts.Key, *, clock: Callable[[], float] | None = None
) -> tuple[Verdict, Path]:
    """Run the build's verification on the commit ``head``, whose tree is checked out, and record the verdict.

    ``clock`` as in ``children.run_command``. Raises Elsewhere when the worktree stands at another commit, or another
    branch, before or after.
    """
    see_commit(work, head)
    number = 1
    # No task's id begins with a line, so no attempt's directory has this name.
    while (work.build_dir / f"_verify-{number}" / "done").exists():
        number += 1
    directory = work.build_dir / f"_verify-{number}"
    verdict = verify(
        work.build.verify,
        worktree=work.worktree,
        environment=work.environment,
        directory=directory,
        timeout_s=work.build.timeout_s,
        excludes=work.excludes,
        generated=work.generated(),
        cancel=work.cancel,
        clock=clock,
    )
    see_commit(work, head)
    work.say(
        "quality.passed" if verdict.passed else "quality.failed",
        "info" if verdict.passed else "error",
        tree=key.tree,
        commit=head,
        commands=key.commands,
        environment=key.environment,
        # A throw-away worktree would have shown the same: ignored files may be what makes a verification pass.
        alone=not beside(work.worktree, work.plan.setup.copy, verdict.left),
        **verdict.as_data(),
    )
    (directory / "done").touch()
    return verdict, directory


def see_commit(work: Work, head: refs.CommitId) -> None:
    """Raises Elsewhere when the worktree does not stand at ``head``, on the branch of the build."""
    words = work.git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD", ok=(0, 128)).text.split("\n")
    here, ref = (words[0], words[1]) if len(words) == 2 else ("", "")
    if (here, ref) == (head, f"refs/heads/{work.build.branch}"):
        return
    branch = ref.removeprefix("refs/heads/")
    if branch == work.build.branch:
        raise Elsewhere(f"{branch} moved meanwhile, to {here[:12]}", hint=f"br3 verify {work.build.id}")
    where = f"on {branch}" if branch != ref else f"at {here[:12]}, on no branch," if here else "on no commit"
    raise Elsewhere(
        f"its worktree {work.worktree} stands {where} and not on {work.build.branch}",
        hint=f"git -C {quote(str(work.worktree))} switch {quote(work.build.branch)}, and bring there what is to land",
    )
