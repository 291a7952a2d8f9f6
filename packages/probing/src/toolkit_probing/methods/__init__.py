"""The methods that judge an encoder: what each reads, and how it is fitted."""
