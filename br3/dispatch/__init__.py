"""Many builds: which run they belong to, what starts when, where each stands.

Promises: a run's plan is frozen and nothing else is read; a build starts when what it needs is verified and at most
``jobs`` are at work; a dispatcher that dies harms nobody — orchestrators go on, the next dispatcher attaches to the
living and restarts the dead from their last completed task; a build that fails stops only those that need it;
stopping ends every process that was started, and keeps worktrees and commits.

Modules: ``sessions`` finds or makes the run · ``dispatching`` runs it · ``standing`` says where builds stand, by git's
word · ``starts`` computes the commit a build starts from · ``executors`` start orchestrators somewhere.
"""
