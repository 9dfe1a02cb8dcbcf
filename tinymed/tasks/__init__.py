"""The article's applications: data, what is fitted to them, models, recipes; one command runs each."""
