"""A policy behind a WebSocket: ``worldmodel serve``, and what it keeps; the other side is `worldmodel.client`."""
