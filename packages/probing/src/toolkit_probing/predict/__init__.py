"""A trained probe on images that it has not been judged on."""
