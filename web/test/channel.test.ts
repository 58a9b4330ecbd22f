import { describe, expect, test } from "vitest";
import { channelOf } from "../src/channel.js";

describe("channels", () => {
  test.each([
    ["price/BTC", {}, undefined, "price/BTC"],
    ["/price/BTC", {}, undefined, "price/BTC"],
    ["price", { unit: "°C", days: 3, all: true, none: undefined }, undefined, "price?unit=%C2%B0C&days=3&all=true"],
    ["price?unit=C", {}, 60, "price?unit=C&max_rate=60"],
    ["price", { max: 0 }, 5, "price?max=0&max_rate=5"],
  ])("%s with %o is %s", (path, params, maxRate, channel) => {
    expect(channelOf(path, params, maxRate)).toBe(channel);
  });
});
