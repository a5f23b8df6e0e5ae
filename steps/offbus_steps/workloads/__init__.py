"""The workloads that drills act on: one small adapter per kind, over Kubernetes' own shapes.

A kind's adapter knows which labels its pods have, how many there should be, when it is rolled out, where its frontend
serves, and where its pod templates have environment, mounts and volumes of the containers that request GPUs. Services
and containers are recognised by the resources they request, never by their names. Pure.
"""
