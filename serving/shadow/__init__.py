"""A second bundle that sees what the first one saw, after it was answered, and can do no harm.

It runs in a process of its own, at the lowest priority there is. Copies go through a channel that takes what fits and
drops the rest: a shadow that is slow, dead, failing or refuses to start costs the primary nothing.
"""

from serving.shadow.keeper import Shadow

__all__ = ["Shadow"]
