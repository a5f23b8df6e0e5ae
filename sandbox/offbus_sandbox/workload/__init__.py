"""The small inference workload of `local`: an OpenAI-compatible worker that really uses its GPU, and a frontend.

`worker` stands for an inference engine such as vLLM: every token goes through the CUDA driver API, and a CUDA error
ends the process as it ends an engine's. `frontend` stands for Dynamo's: it routes, and can move broken requests to
another worker. Both need only offbus' base install.
"""
