"""GitHub: the forge, the settings of a repository, and what they lack. Only `rest` knows PyGithub."""
