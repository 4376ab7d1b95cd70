"""The command `demo`: a robot at work, and beside each real frame the one its model had imagined for it."""
