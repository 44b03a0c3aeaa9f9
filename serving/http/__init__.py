"""The built-in front: HTTP/1.1 on asyncio, with llhttp as its parser."""
