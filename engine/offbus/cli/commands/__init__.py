"""The commands' options and help, cheap to import; `handlers` has what each of them does."""
