"""The engine of a worker: one thread that owns the CUDA contexts; the first failed call is final.

`token` runs on the thread, at a limited rate. The first CudaError is logged as engines log it, `died` is set, and every
request, running or new, gets `EngineDeadError`. A call that hangs blocks all requests, as in a real engine. Must not:
exit the process (the server does, once the broken requests have their error).
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from offbus_sandbox.workload.driver_api import CudaError
from offbus_sandbox.workload.generator import Generator, WrongResultError

__all__ = ["Engine", "EngineDeadError"]

_log = logging.getLogger(__name__)


class EngineDeadError(Exception):
    """Raised to every request once the engine has failed."""


class Engine:
    """Generates for any number of requests at once, one token at a time. `token_s` is the least time a token takes."""

    def __init__(self, token_s: float) -> None:
        self._token_s = token_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cuda")
        self._generator: Generator | None = None
        self.died = asyncio.Event()
        self.tokens = 0

    @property
    def is_ready(self) -> bool:
        """Warmed up and alive."""
        return self._generator is not None and not self.died.is_set()

    @property
    def generator(self) -> Generator:
        """The warm generator. Raises EngineDeadError before the warm-up."""
        if self._generator is None:
            raise EngineDeadError("the engine has not started")
        return self._generator

    async def warm_up(self) -> None:
        """Open the GPUs and make one token. Raises what `Generator` raises."""
        self._generator = await asyncio.get_running_loop().run_in_executor(self._thread, _warm_generator)
        for gpu in self._generator.gpus:
            _log.info("using %s (%s)", gpu.uuid, gpu.name)

    async def begin(self) -> None:
        """Call once for every request, before its tokens: reads the GPUs' health."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self.generator.telemetry.read)

    async def token(self, prompt: str, position: int) -> str:
        """The token of a position, not before its time. Raises EngineDeadError."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._token_s
        if self.died.is_set():
            raise EngineDeadError("the engine is dead")
        try:
            token = await loop.run_in_executor(self._thread, self._generate, prompt, position)
        except (CudaError, WrongResultError) as err:
            if not self.died.is_set():
                _log.critical("%s", err)
                _log.critical("the engine is dead, ending the process")
                self.died.set()
            raise EngineDeadError(str(err)) from err
        self.tokens += 1
        await asyncio.sleep(max(0.0, due - loop.time()))
        return token

    def _generate(self, prompt: str, position: int) -> str:
        """On the CUDA thread. After an error NVML is read, so that its errors are in the log of the engine's death."""
        try:
            return self.generator.token(prompt, position)
        except CudaError:
            self.generator.telemetry.read()
            raise


def _warm_generator() -> Generator:
    generator = Generator()
    generator.token("warm up", 0)
    return generator
