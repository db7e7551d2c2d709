"""Where pictures come from: the paper's data sets, Broden, public files and folders."""
