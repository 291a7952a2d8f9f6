"""Numbers from predictions: metrics, neighbours, and how sure a figure is."""
