"""Auto Scaling's rules, without AWS: what a group does, and in which words. No call, no clock, no thread of its own.

The emulator (`infra.local.aws`) and the groups in memory of the tests stand on them, so that there is one group.
"""
