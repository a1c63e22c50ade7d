"""Figures, tables and the HTML page of a study, drawn from its rows and program files."""
