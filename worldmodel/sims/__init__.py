"""Simulators behind one face: our own scenes, any Gymnasium env, and others in environments of their own."""
