"""From predictions and trajectories to figures: metrics, scorecard, diagnosis; knows tables, no model."""
