"""What people see of an audit and of a data set: in a terminal, as files to keep, as pages."""
