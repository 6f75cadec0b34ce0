"""A cluster under a batch scheduler, in virtual time: what a rollout costs over days, and against what.

The decisions (`kedge.rollout`) and the engine (`kedge.core`) are the production ones. Simulated are the
scheduler, its jobs and how long things take; there is no network and no image. So five thousand nodes and
a week of jobs take seconds. The whole of Kedge on fewer machines is in the rest of `kedge.sim`.
"""
