import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mount, unmount } from "svelte";
import { compile, compileModule } from "svelte/compiler";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { transformWithOxc } from "vite";
import { type Component, createApp, h, nextTick, ref } from "vue";
import { compileScript, parse } from "vue/compiler-sfc";
import type { Live } from "../src/index.js";
import { fakeTime, pass, Server } from "./server.js";

const GUIDE = readFileSync(join(import.meta.dirname, "../../docs/how-to/use-svelte-or-vue.md"), "utf8");

let folder: string;
let server: Server;
let live: Live;
let place: HTMLElement;
let restore: () => void;

/** Returns an example of the guide. */
function example(title: string): string {
  const found = GUIDE.split("```").find((each) => each.includes(`title="${title}"`));
  return found?.slice(found.indexOf("\n") + 1) ?? "";
}

beforeAll(async () => {
  restore = fakeTime();
  server = new Server();
  live = server.client();
  folder = mkdtempSync(join(import.meta.dirname, "recipes-"));
  const write = (name: string, code: string): void => writeFileSync(join(folder, name), code);
  const plain = async (name: string, code: string): Promise<void> =>
    write(name, (await transformWithOxc(code, `${name}.ts`)).code);
  Object.assign(globalThis, { live });
  write("live.js", "export const { live } = globalThis;");
  write("svelte.js", compile(example("Price.svelte"), { generate: "client" }).js.code);
  write("props.js", compileModule("export const props = $state({ symbol: 'BTC' });", { generate: "client" }).js.code);
  await plain("useLive.js", example("useLive.ts"));
  const { descriptor } = parse(example("Price.vue"));
  await plain("vue.js", compileScript(descriptor, { id: "price", inlineTemplate: true }).content);
});

afterAll(() => {
  live.close();
  restore();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  place = document.createElement("div");
  server.received.length = 0;
});

async function load<T>(name: string): Promise<T> {
  return (await import(/* @vite-ignore */ join(folder, name))) as T;
}

/** Lets values of a channel arrive; returns what the page shows. */
async function publish(channel: string, price: number): Promise<string> {
  await pass();
  server.publish(channel, [{ price }]);
  await pass();
  await nextTick();
  return place.textContent?.trim() ?? "";
}

test("Svelte's component shows the newest value, follows its path, and unsubscribes when it is destroyed", async () => {
  const { default: Price } = await load<{ default: Parameters<typeof mount>[0] }>("svelte.js");
  const { props } = await load<{ props: { symbol: string } }>("props.js");
  const component = mount(Price, { target: place, props });
  expect(await publish("price/BTC", 7)).toBe("BTC 7.00");
  props.symbol = "ETH";
  expect(await publish("price/ETH", 9)).toBe("ETH 9.00");
  expect(place.querySelector("p")?.className).toBe("connected");
  await unmount(component);
  await pass();
  expect([server.subscribed, server.unsubscribed]).toEqual([["price/BTC", "price/ETH"], ["price/BTC", "price/ETH"]]);
});

test("Vue's component shows the newest value, follows its path, and unsubscribes when it is unmounted", async () => {
  const { default: Price } = await load<{ default: Component }>("vue.js");
  const symbol = ref("BTC");
  const app = createApp(() => h(Price, { symbol: symbol.value }));
  app.mount(place);
  expect(await publish("price/BTC", 7)).toBe("BTC 7.00");
  symbol.value = "ETH";
  await nextTick();
  expect(await publish("price/ETH", 9)).toBe("ETH 9.00");
  expect(place.querySelector("p")?.className).toBe("connected");
  app.unmount();
  await pass();
  expect([server.subscribed, server.unsubscribed]).toEqual([["price/BTC", "price/ETH"], ["price/BTC", "price/ETH"]]);
});
