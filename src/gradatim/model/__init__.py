"""The network, in one file, and its conversion to and from Hugging Face layouts."""
