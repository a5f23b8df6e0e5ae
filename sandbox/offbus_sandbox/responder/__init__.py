"""The stand-in responder: what answers a fault where NVSentinel does not run (docs/responder.md).

Two separate programs, as in NVSentinel: a detector on each node (`detector`) that reads the kernel log
through journald's rules, and a controller on the environment port (`controller`) that cordons, drains,
remediates and uncordons. They share nothing but cluster objects: the node's condition is the seam. The
detector never reads anything of the node agent: that makes it independent evidence.

Facts about NVSentinel are quoted from its sources; the module that uses one names it.
"""
