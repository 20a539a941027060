"""One build: its tasks in order, each attempt proven by git, its verification, its repairs.

Promises: an attempt is finished once — its end is fsynced before anything is committed, and committing again makes
the same commit; an agent that still works when its orchestrator died is adopted, not paid for twice; "done" with
nothing changed, or on another branch, is a failure; a build is verified only by commands that passed on exactly the
tree at the tip of its branch, with nothing uncommitted.

    python -m br3.orchestrator COMMON_DIR RUN BUILD

Modules: ``building`` takes a build through its tasks · ``attempting`` makes one attempt · ``prompts`` says what an
agent is asked, ``asking`` whether it was asked the same before · ``choosing`` says with which model and in which
session, ``gate`` when · ``proving`` holds a claim of success against git · ``confining`` is the sandbox of an attempt,
``trespass`` sees what was changed beyond its ground · ``salvaging`` puts aside what a cut-off one left · ``ground``
says when what it stands on has given way · ``showing`` tells what an agent does just now, ``stopping`` why a run was
stopped · ``verification`` runs commands and judges what they showed · ``counts`` reads tests and coverage ·
``verdicts`` remembers which tree passed what, ``recording`` writes that down of the commit at hand · ``exits`` are the
codes that an orchestrator ends with.
"""
