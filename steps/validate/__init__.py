"""The validate step: rows, labels and pictures against the rules, and the page that tells a person."""
