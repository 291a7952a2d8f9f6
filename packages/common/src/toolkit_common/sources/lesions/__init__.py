"""Skin-lesion data sets, one file each: the file is the data set's sheet and its reader."""
