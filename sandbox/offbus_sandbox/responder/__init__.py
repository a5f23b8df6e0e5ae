"""The stand-in responder: reacts to faults where NVSentinel does not run (docs/responder.md).

Two separate programs, as in NVSentinel: a detector on each node (`detector`) that reads the kernel log by journald's
rules, and a controller on the environment port (`controller`) that cordons, drains, remediates and uncordons. They
share only cluster objects: the node's condition is the interface. The detector never reads anything of the node agent,
which makes it independent evidence.

Facts about NVSentinel come from its sources; the module that uses one names it.
"""
