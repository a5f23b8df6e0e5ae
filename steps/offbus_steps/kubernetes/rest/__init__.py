"""The REST client: the only part that knows aiohttp and kubernetes_asyncio."""
