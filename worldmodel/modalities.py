"""The modalities beside frames and actions that a model may have, by name. A new one is one line here."""

LISTED: dict[str, str] = {
    "audio": "worldmodel.tokens.audio:AudioConfig",
}
"""Module and config class of each; imported only where a model has the modality."""
