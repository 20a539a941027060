"""Looks at everything that br3 rests on, and says what is not as it should be and which command mends it.

Promises: looking changes nothing, needs no lock and no plan, and one thing that cannot be looked at hides no other;
what is mended by itself (``--fix``) loses nobody's work, is done under the lock of whoever could be at it, and may be
done again.

Modules: ``looking`` goes through all of it · ``patient`` is what all look at · ``machine`` git, disk, clock · ``keys``
and ``agents`` · ``ownership`` whose the files are · ``worktrees``, ``branches``, ``processes`` · ``leftovers`` locks,
ports, requests · ``records`` the archive and the newest run. Journal and analytics look at themselves (``analytics``),
and so do hooks.
"""

from br3.doctor.looking import Mended, examine, mend

__all__ = ["Mended", "examine", "mend"]
