"""A policy behind a WebSocket: ``worldmodel serve``; `worldmodel.client` asks it."""
