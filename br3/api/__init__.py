"""br3 from Python: what the commands do, without a terminal. The commands are this and a few lines of printing.

Promises: nothing is printed and nobody is asked; what goes wrong is a ``br3.errors.Br3Error`` with a message, a hint
and the command's exit code; commands of a repository run only when the user has approved them (``br3 trust``) or the
caller says ``trust=True``; Ctrl-C and SIGTERM stop what was started, keep all work, and raise KeyboardInterrupt; the
same locks hold as between two commands. What is long takes ``on_event``, which gets each event of the journal as it is
written, in the thread that called; an exception from there stops the work as Ctrl-C does, and is raised.

Any thread may call. Signals reach Python's main thread only: from another one, ``cancel`` (a ``threading.Event``) ends
a run, and ``Workspace.cancel`` or ``br3 cancel`` do it from anywhere.

Modules: ``workspaces`` the repository and what is done in it · ``running`` · ``estimating`` · ``landing`` ·
``finishing`` · ``verifying`` · ``figures`` the analytics · ``looking`` where everything stands · ``consent`` what may
run · ``listening`` events to a caller, and signals.
"""
