// Package flaskapi is the sample API once more, in Python with Flask: app.py, about a page long,
// for readers who come from Flask tutorials. The Go part finds a Python that can run it and runs
// it.
package flaskapi
