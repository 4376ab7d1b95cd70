"""Any Gymnasium env with pixels and Box actions."""
