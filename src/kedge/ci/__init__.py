"""From a git push to the first stage of a rollout: the site's own steps, then a release.

It runs beside the repository, as whoever may push to it, and reaches Kedge as every command does: through
the client. What the steps are stands in the pushed commit (``ci.yaml``).
"""
