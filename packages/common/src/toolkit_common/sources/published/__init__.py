"""Well-known sets that no folder of classes is: one data set a file, as it is published."""
