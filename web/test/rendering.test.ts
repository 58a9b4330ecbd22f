// @vitest-environment node
import { createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { expect, test } from "vitest";
import { connect } from "../src/index.js";
import { useFeed, useStatus } from "../src/react.js";

const live = connect(); // as in a module that pages and servers load

function Price(): ReactNode {
  const { value = "-" } = useFeed<number>(live, "price");
  return `${value} ${useStatus(live).state}`;
}

test("a connection at module level waits for the browser, and components are rendered without values", async () => {
  expect(typeof document).toBe("undefined");
  expect(renderToString(createElement(Price))).toBe("- connecting");
  await expect(live.call("add")).rejects.toThrow("add: there is no connection where pages are rendered on a server");
  live.feed("price").subscribe(() => {})();
  live.reconnect();
  expect(live.status.current.state).toBe("connecting");
  live.close();
});
