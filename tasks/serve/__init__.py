"""The server: every task over HTTP, and the page that shows it."""
