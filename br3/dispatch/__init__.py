"""Many builds: which run they belong to, what starts when, where each stands.

Promises: a run's plan is frozen and nothing else is read; a build starts when what it needs is verified and at most
``jobs`` are at work; a dispatcher that dies harms nobody — orchestrators go on, the next dispatcher attaches to the
living and restarts the dead from their last completed task; a build that fails stops only those that need it;
stopping ends every process that was started, and keeps worktrees and commits.

Modules: ``sessions`` finds or makes the run · ``requirements`` says what is missing for it · ``dispatching`` runs it,
``outcome`` is what it tells · ``watching`` and ``room`` judge orchestrators and the disk, ``analysing`` keeps figures
fresh meanwhile · ``controlling`` passes on what people ask · ``standing`` says where builds stand, by git's word ·
``conflicts`` says which of them would not merge, ``conflict_answers`` keeps that for pairs of commits,
``conflict_watching`` looks for new ones during a run · ``starts`` computes the commit a build starts from ·
``executors`` start orchestrators somewhere.
"""
