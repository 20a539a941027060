"""Git hooks: installing them beside what is there, compiling what they need, and their slower halves.

The scripts themselves lie in the top-level directory ``hooks/`` and start no Python as long as nothing is found.

Promises: what was there before is called first and comes back byte for byte; nothing is written outside the
repository, or into a directory that git tracks, without being told; commands of the plan run only when they were
approved; what guards fails closed, everything else open.

Modules: ``places`` is where things lie · ``compiling`` turns the plan into files that sh reads · ``shims`` is what git
calls, ``keeping`` what it called before · ``installing`` puts them in and takes them out · ``looking`` says how that
stands, for ``status`` and ``doctor`` · ``provisioning`` sets up a worktree · ``pushing`` is the slower half of
pre-push · ``entry`` is where hooks come in.
"""
