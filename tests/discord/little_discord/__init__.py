"""A small Discord of our own: HTTP and WebSocket over TLS on loopback, strict where the real one is strict.

The bot under test is not patched. It is handed a connector whose resolver leads every name here and whose TLS
context trusts this server's own authority; everything else it does as on Discord.
"""
