"""Leaderboards: encoders of one data set and one protocol, ranked; published rows beside."""
