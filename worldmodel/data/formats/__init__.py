"""Other layouts of recorded episodes, to our store and back: robomimic (HDF5) and LeRobot."""
