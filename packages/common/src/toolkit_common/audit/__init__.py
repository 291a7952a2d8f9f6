"""What a data set holds, and what in it could make a result look better than it is."""
