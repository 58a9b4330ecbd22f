"""The table `browser`: what a page makes of it, in Chromium. `table` says what is measured, `roster` who takes part.

Each row is a module: `values`, `minute`, `blocked`. The page is in `page/` and comes from the server that is measured,
`peers/browser_server`; `chromium` starts the browser and asks the page. `report` and `plot` tell.

The browser is not driven by Playwright, as in the end-to-end tests: Playwright has each frame of a WebSocket reported
to it, which makes a page that gets one frame for each value three to four times slower, and flatters us.
"""
