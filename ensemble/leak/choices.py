"""What the meter offers to choose from: all that the graph editor needs to draw it."""

AUTO = "auto"
EMBEDDERS = (AUTO, "sface", "dinov2")
