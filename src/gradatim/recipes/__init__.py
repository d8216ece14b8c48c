"""Recipes that come with gradatim: published methods and ours, each one study file to run."""
