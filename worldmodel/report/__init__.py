"""What people look at: pages, video, statistics. Knows no model and no simulator."""
